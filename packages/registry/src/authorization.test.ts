// Authorization against the real docker-registry: basic, and tokens of a small server of the test's own.
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createContext } from "@ctrd/core/context";
import type { Descriptor } from "@ctrd/core/records";
import type { Resolver } from "@ctrd/core/remotes";
import type { FaultProxy, TempDir, TestRegistry, TokenServer } from "@ctrd/testkit/fixtures";
import { layeredImage, startFaultProxy, startRegistry, startTokenServer, tempDir } from "@ctrd/testkit/fixtures";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { CredentialSource, RegistryOptions } from "./index.ts";
import { createAuthorizer, createRegistryResolver, dockerCredentials, registryHosts } from "./index.ts";

const ctx = createContext({ namespace: "test" });
let directory: TempDir;

beforeAll(async () => {
  directory = await tempDir("reg-auth-");
});
afterAll(() => directory[Symbol.asyncDispose]());

function resolverWith(source: CredentialSource | undefined, more: Partial<RegistryOptions> = {}): Resolver {
  const authorizer = source && ((host: string) => createAuthorizer(host, source));
  const hosts = registryHosts({ defaultScheme: "http", stallTimeoutMs: 1_000, ...(authorizer && { authorizer }) });
  return createRegistryResolver({ hosts, ...more });
}
const credentials =
  (username: string, secret: string): CredentialSource =>
  () =>
    Promise.resolve({ username, secret });

function descriptorOf(bytes: Uint8Array, mediaType = "application/vnd.oci.image.layer.v1.tar"): Descriptor {
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  return { mediaType, digest, size: BigInt(bytes.length), annotations: new Map() };
}

const someBlob = descriptorOf(Buffer.from("some blob"));

async function push(resolver: Resolver, reference: string, bytes: Buffer, mediaType?: string): Promise<Descriptor> {
  const descriptor = descriptorOf(bytes, mediaType);
  const writer = await (await resolver.pusher(ctx, reference)).push(ctx, descriptor);
  await writer.write(bytes);
  await writer.commit();
  return descriptor;
}

/** Pushes a blob and a manifest, and fetches both. */
async function roundTrip(resolver: Resolver, reference: string): Promise<void> {
  const layer = await push(resolver, reference, randomBytes(100_000));
  const config = await push(resolver, reference, Buffer.from(`{"id":"${randomUUID()}"}`));
  const json = ({ mediaType, digest, size }: Descriptor) => ({ mediaType, digest, size: Number(size) });
  const type = "application/vnd.oci.image.manifest.v1+json";
  const manifest = { schemaVersion: 2, mediaType: type, config: json(config), layers: [json(layer)] };
  const pushed = await push(resolver, reference, Buffer.from(JSON.stringify(manifest)), type);
  const { target } = await resolver.resolve(ctx, reference);
  expect(target.digest).toBe(pushed.digest);
  await fetchBlob(resolver, reference, layer);
}

async function fetchBlob(resolver: Resolver, reference: string, descriptor: Descriptor, signal?: AbortSignal) {
  const call = createContext({ namespace: "test", ...(signal && { signal }) });
  const hash = createHash("sha256");
  const content = await (await resolver.fetcher(call, reference)).fetch(call, descriptor);
  for await (const chunk of content) hash.update(chunk);
  expect(`sha256:${hash.digest("hex")}`).toBe(descriptor.digest);
}

describe("a registry with users and passwords", () => {
  let registry: TestRegistry;
  let proxy: FaultProxy;
  // user:s3cret
  const htpasswd = "user:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";

  beforeAll(async () => {
    await writeFile(join(directory.path, "htpasswd"), htpasswd);
    registry = await startRegistry({ auth: { htpasswd: { realm: "test", path: join(directory.path, "htpasswd") } } });
    proxy = await startFaultProxy(registry.host);
  });
  afterAll(async () => {
    await proxy?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
  });

  it("takes them, and asks for them once", async () => {
    let asked = 0;
    const source: CredentialSource = () => {
      asked++;
      return Promise.resolve({ username: "user", secret: "s3cret" });
    };
    await roundTrip(resolverWith(source), `${proxy.host}/basic/image:1`);
    expect(asked).toBe(1);
  });

  it("refuses wrong ones and none with one error that does not show them", async () => {
    const wrong = resolverWith(credentials("user", "other-secret")).resolve(ctx, `${registry.host}/basic/image:1`);
    const error = await wrong.catch((thrown: unknown) => thrown as Error);
    expect(error).toMatchObject({ kind: "unauthenticated", message: expect.stringContaining(registry.host) });
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toMatch(/other-secret|dXNlcjp/);
    const none = resolverWith(() => Promise.resolve(undefined)).resolve(ctx, `${registry.host}/basic/image:1`);
    await expect(none).rejects.toMatchObject({
      kind: "unauthenticated",
      message: expect.stringContaining("ctrd login"),
    });
  });

  describe("from Docker's configuration", () => {
    const config = async (value: object): Promise<CredentialSource> => {
      const file = join(directory.path, `${randomUUID()}.json`);
      await writeFile(file, JSON.stringify(value));
      return dockerCredentials(file);
    };
    const auth = Buffer.from("user:s3cret").toString("base64");
    const resolves = (source: CredentialSource) =>
      resolverWith(source).resolve(ctx, `${proxy.host}/basic/image:1`) as Promise<unknown>;

    it.each([
      ["host", (host: string) => host],
      ["URL", (host: string) => `https://${host}`],
      ["old URL with a path", (host: string) => `https://${host}/v1/`],
    ])("under the %s", async (_name, key) => {
      await resolves(await config({ auths: { [key(proxy.host)]: { auth } } }));
    });

    it("is not taken for another host, nor from an object's prototype", async () => {
      await expect(resolves(await config({ auths: { "example.com": { auth } } }))).rejects.toThrow("there are none");
      const source = await config({ auths: null, credHelpers: null });
      await expect(source("__proto__", ctx.signal)).resolves.toBeUndefined();
    });

    it("names the file and no secret when it is malformed", async () => {
      const file = join(directory.path, "broken.json");
      await writeFile(file, `{"auths": {"x": {"auth": "${auth}" oops`);
      const error = await resolves(dockerCredentials(file)).catch((thrown: unknown) => thrown as Error);
      expect(String(error)).toContain(file);
      expect(String(error)).not.toContain(auth.slice(0, 6));
    });

    it.each([
      [(host: string) => ({ auths: { [host]: { auth: {} } } }), '"auth" is not a string'],
      [(host: string) => ({ auths: { [host]: { username: 1, password: "p" } } }), '"username" is not a string'],
      [(host: string) => ({ auths: { [host]: "dTpw" } }), "is not an object"],
      [() => ({ auths: [] }), '"auths" is not an object'],
      [(host: string) => ({ credHelpers: { [host]: 5 } }), "is not a string"],
    ])("names what is of a wrong type (%#)", async (value, message) => {
      await expect(resolves(await config(value(proxy.host)))).rejects.toMatchObject({
        kind: "invalid-argument",
        message: expect.stringContaining(message),
      });
    });

    it("asks a helper program", async () => {
      const bin = join(directory.path, "bin");
      await mkdir(bin, { recursive: true });
      const helper = join(bin, "docker-credential-fromtest");
      const answer = `{"ServerURL":"x","Username":"user","Secret":"s3cret"}`;
      const script = `#!/bin/sh\nread host\n[ "$1" = get ] && [ "$host" = "${proxy.host}" ] || { echo credentials not found in native keychain; exit 1; }\necho '${answer}'\n`;
      await writeFile(helper, script);
      await chmod(helper, 0o755);
      await writeFile(join(bin, "docker-credential-slow"), "#!/bin/sh\nsleep 20\n", { mode: 0o755 });
      const path = process.env["PATH"];
      process.env["PATH"] = `${bin}:${path}`;
      try {
        await resolves(await config({ credHelpers: { [proxy.host]: "fromtest" } }));
        await resolves(await config({ credsStore: "fromtest", auths: { [proxy.host]: {} } }));
        const none = await config({ credsStore: "fromtest" });
        expect(await none("example.com", ctx.signal)).toBeUndefined();
        const missing = await config({ credsStore: "absent" });
        await expect(missing("example.com", ctx.signal)).rejects.toThrow(/docker-credential-absent.*not in PATH/);
        const slow = await config({ credsStore: "slow" });
        const began = performance.now();
        await expect(slow("example.com", AbortSignal.timeout(100))).rejects.toThrow();
        expect(performance.now() - began).toBeLessThan(1_000);
      } finally {
        process.env["PATH"] = path;
      }
    });
  });
});

describe("a registry with a token server", () => {
  let registry: TestRegistry;
  let proxy: FaultProxy;
  let tokens: TokenServer;

  beforeAll(async () => {
    tokens = await startTokenServer(directory.path);
    const { certificate: rootcertbundle, realm } = tokens;
    const token = { realm, service: "test-registry", issuer: "test-issuer", rootcertbundle };
    registry = await startRegistry({ auth: { token } });
    proxy = await startFaultProxy(registry.host);
  });
  afterEach(() => {
    tokens.reset();
    proxy.onRequest(() => undefined);
  });
  afterAll(async () => {
    await proxy?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
    await tokens?.stop();
  });

  it("gives a token for user and password, which is used until it expires", async () => {
    const resolver = resolverWith(credentials("user", "s3cret"));
    const reference = `${proxy.host}/token/image:1`;
    await roundTrip(resolver, reference);
    // Once to push, with the scope that the host named as well, once to pull.
    expect(tokens.seen.map(({ method, scope }) => `${method} ${scope}`)).toEqual([
      "POST repository:token/image:pull repository:token/image:pull,push",
      "POST repository:token/image:pull",
    ]);
    await resolver.resolve(ctx, reference);
    expect(tokens.seen.length).toBe(2);
    tokens.seconds = 6;
    const other = resolverWith(credentials("user", "s3cret"));
    await other.resolve(ctx, reference);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    await other.resolve(ctx, reference);
    expect(tokens.seen.length).toBe(4);
  });

  it.each([400, 401, 404, 405])("is asked by GET when it answers %d to POST", async (status) => {
    tokens.onPost = status;
    await roundTrip(resolverWith(credentials("user", "s3cret")), `${proxy.host}/token/by-get:1`);
    const [post, get] = tokens.seen;
    expect([post?.method, get?.method]).toEqual(["POST", "GET"]);
    expect(get?.authorization).toBe(`Basic ${Buffer.from("user:s3cret").toString("base64")}`);
  });

  it("takes an identity token", async () => {
    await roundTrip(resolverWith(credentials("", "refresh-me")), `${proxy.host}/token/identity:1`);
    expect(tokens.seen[0]).toMatchObject({ grant: "refresh_token", method: "POST" });
  });

  it("gives an anonymous token, which may pull and not push", async () => {
    await roundTrip(resolverWith(credentials("user", "s3cret")), `${proxy.host}/token/public:1`);
    tokens.reset();
    const anonymous = resolverWith(() => Promise.resolve(undefined));
    await anonymous.resolve(ctx, `${proxy.host}/token/public:1`);
    expect(tokens.seen).toMatchObject([{ method: "GET", authorization: undefined }]);
    const pushing = push(anonymous, `${proxy.host}/token/public:2`, randomBytes(10));
    await expect(pushing).rejects.toMatchObject({ kind: "unauthenticated" });
  });

  it("refuses wrong credentials with one error that does not show them", async () => {
    const error = await resolverWith(credentials("user", "wrong-one"))
      .resolve(ctx, `${proxy.host}/token/image:1`)
      .catch((thrown: unknown) => thrown as Error);
    expect(error).toMatchObject({ kind: "unauthenticated", message: expect.stringContaining("ctrd login") });
    expect(String(error)).not.toContain("wrong-one");
  });

  it("is asked again when a token is refused before its time, by one request for all", async () => {
    const resolver = resolverWith(credentials("user", "s3cret"));
    const reference = `${proxy.host}/token/refused:1`;
    const layer = await push(resolver, reference, randomBytes(10_000));
    await fetchBlob(resolver, reference, layer);
    const used = proxy.requests.at(-1)?.headers.authorization;
    tokens.reset();
    // As of a host that does not say why.
    const challenge = { "www-authenticate": `Bearer realm="${tokens.realm}",service="test-registry"` };
    proxy.onRequest(({ headers }) =>
      headers.authorization === used ? { status: 401, headers: challenge } : undefined,
    );
    await Promise.all(Array.from({ length: 5 }, () => fetchBlob(resolver, reference, layer)));
    expect(tokens.seen.length).toBe(1);
  });

  it("that is refused for good ends in one error", async () => {
    const challenge = { "www-authenticate": `Bearer realm="${tokens.realm}",error="invalid_token"` };
    const body = JSON.stringify({ errors: [{ code: "UNAUTHORIZED", message: "go \u001b[31maway" }] });
    proxy.onRequest(() => ({ status: 401, headers: challenge, body }));
    const fetching = fetchBlob(resolverWith(credentials("user", "s3cret")), `${proxy.host}/token/image:1`, someBlob);
    await expect(fetching).rejects.toMatchObject({
      kind: "unauthenticated",
      // A host's words end up on terminals.
      message: expect.stringMatching(/HTTP status 401: UNAUTHORIZED go +\[31maway/),
    });
    expect(proxy.requests.filter(({ url }) => url.includes(someBlob.digest)).length).toBe(3);
  });

  it("is asked for the scope that the host names, as mirrors below a path do", async () => {
    const resolver = resolverWith(credentials("user", "s3cret"));
    await roundTrip(resolver, `${proxy.host}/token/image:2`);
    tokens.reset();
    const scope = "repository:proxied/token/image:pull";
    const challenge = { "www-authenticate": `Bearer realm="${tokens.realm}",service="test-registry",scope="${scope}"` };
    proxy.onRequest((_seen, count) => (count === 0 ? { status: 401, headers: challenge } : undefined));
    await resolverWith(credentials("user", "s3cret")).resolve(ctx, `${proxy.host}/token/image:2`);
    expect(tokens.seen[0]?.scope).toBe(`${scope} repository:token/image:pull`);
  });

  it("that fails at first is asked again", async () => {
    tokens.failures = [500, 429];
    await resolverWith(credentials("user", "s3cret")).resolve(ctx, `${proxy.host}/token/image:1`);
    expect(tokens.seen.length).toBe(3);
    tokens.failures = Array<number>(20).fill(500);
    const resolving = resolverWith(credentials("user", "s3cret")).resolve(ctx, `${proxy.host}/token/image:1`);
    await expect(resolving).rejects.toMatchObject({ kind: "unavailable", message: expect.stringContaining("token") });
  });

  it("that stalls is left within a second, by whoever fetches and whoever waits", async () => {
    tokens.stall = true;
    const resolver = resolverWith(credentials("user", "s3cret"));
    const first = new AbortController();
    const second = new AbortController();
    const resolve = ({ signal }: AbortController) =>
      resolver.resolve(createContext({ namespace: "test", signal }), `${proxy.host}/token/image:1`);
    const fetching = resolve(first).catch((error: unknown) => error);
    await expect.poll(() => tokens.seen.length).toBe(1);
    const waiting = resolve(second).catch((error: unknown) => error);
    setTimeout(() => second.abort(), 100);
    const began = performance.now();
    expect(await waiting).toMatchObject({ name: "AbortError" });
    tokens.stall = false;
    const third = resolver.resolve(ctx, `${proxy.host}/token/image:1`);
    first.abort();
    expect(await fetching).toMatchObject({ name: "AbortError" });
    // One that gave up is no reason for another to.
    await third;
    expect(performance.now() - began).toBeLessThan(1_000);
  });

  it("lets a blob be mounted when the other repository may be read, and uploads it when not", async () => {
    const resolver = resolverWith(credentials("user", "s3cret"));
    const image = await layeredImage(1);
    const bytes = (await image.layers[0]?.bytes()) ?? Buffer.alloc(0);
    const blob = await push(resolver, `${proxy.host}/token/from:1`, bytes);
    const annotations = new Map([[`containerd.io/distribution.source.${proxy.host}`, "token/from"]]);
    const labelled = { ...blob, annotations };
    const mounting = (await resolver.pusher(ctx, `${proxy.host}/token/to:1`)).push(ctx, labelled);
    await expect(mounting).rejects.toThrow("mounted from token/from");
    tokens.denied = "token/from";
    const writer = await (await resolver.pusher(ctx, `${proxy.host}/token/other:1`)).push(ctx, labelled);
    await writer.write(bytes);
    await writer.commit();
  });
});
