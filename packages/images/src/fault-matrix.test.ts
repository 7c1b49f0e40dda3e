// Every fault of a registry against every way of asking it: plain, TLS, users and passwords, tokens.
import { randomInt } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Resolver } from "@ctrd/core/remotes";
import { createAuthorizer, createRegistryResolver, registryHosts } from "@ctrd/registry";
import type { BuiltImage, Fault, FaultProxy, TempDir, TestRegistry } from "@ctrd/testkit/fixtures";
import {
  htpasswdLine,
  mustRun,
  pushImage,
  startFaultProxy,
  startRegistry,
  startTokenServer,
  tempDir,
} from "@ctrd/testkit/fixtures";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { PullSetup } from "../test/pull-setup.ts";
import { ownImage, setUpPulls } from "../test/pull-setup.ts";

const ways = ["plain", "TLS", "basic", "token"] as const;
type Way = (typeof ways)[number];

let s: PullSetup;
let directory: TempDir;
/** Where images are pushed; all registries serve the same directory. */
let store: TestRegistry;
let stack: AsyncDisposableStack;
let tokenRealm = "";
const proxies = new Map<Way, FaultProxy>();
const resolvers = new Map<Way, Resolver>();

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  directory = stack.use(await tempDir("matrix-"));
  const path = (name: string): string => join(directory.path, name);
  s = stack.use(await setUpPulls());
  const dir = path("data");
  const plain = stack.use(await startRegistry({ dir }));
  store = plain;
  await writeFile(path("htpasswd"), htpasswdLine);
  const basic = stack.use(await startRegistry({ dir, auth: { htpasswd: { realm: "test", path: path("htpasswd") } } }));
  const tokens = await startTokenServer(directory.path);
  stack.defer(() => tokens.stop());
  const { certificate: rootcertbundle, realm } = tokens;
  tokenRealm = realm;
  const token = stack.use(
    await startRegistry({
      dir,
      auth: { token: { realm, service: "test-registry", issuer: "test-issuer", rootcertbundle } },
    }),
  );
  const names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const files = ["-keyout", path("tls.key"), "-out", path("tls.crt")];
  await mustRun("openssl", [..."req -x509 -new -nodes -newkey rsa:2048 -days 2".split(" "), ...names, ...files]);
  const [cert, key] = await Promise.all(["tls.crt", "tls.key"].map((name) => readFile(path(name), "utf8")));
  const tls = { cert: cert ?? "", key: key ?? "" };
  proxies.set("plain", stack.use(await startFaultProxy(plain.host)));
  proxies.set("TLS", stack.use(await startFaultProxy(plain.host, { tls })));
  proxies.set("basic", stack.use(await startFaultProxy(basic.host)));
  proxies.set("token", stack.use(await startFaultProxy(token.host)));
  const credentials = () => Promise.resolve({ username: "user", secret: "s3cret" });
  for (const way of ways) {
    const scheme =
      way === "TLS"
        ? ({ defaultScheme: "https", tls: { ca: [tls.cert] } } as const)
        : { defaultScheme: "http" as const };
    const authorizer = (host: string) => createAuthorizer(host, credentials);
    const isGuarded = way === "basic" || way === "token";
    const hosts = registryHosts({ ...scheme, stallTimeoutMs: 1_000, ...(isGuarded ? { authorizer } : {}) });
    resolvers.set(way, createRegistryResolver({ hosts }));
  }
});
afterEach(() => {
  for (const proxy of proxies.values()) proxy.onRequest(() => undefined);
});
afterAll(() => stack?.disposeAsync());

function of(way: Way): { proxy: FaultProxy; resolver: Resolver } {
  const [proxy, resolver] = [proxies.get(way), resolvers.get(way)];
  if (proxy === undefined || resolver === undefined) throw new Error("not started");
  return { proxy, resolver };
}

let count = 0;
/** An image that is nowhere else, behind the proxy. */
async function offer(way: Way): Promise<{ image: BuiltImage; reference: string }> {
  const image = await ownImage(2);
  const repository = `matrix/image${count++}`;
  await pushImage(store, repository, "1", image);
  return { image, reference: `${of(way).proxy.host}/${repository}:1` };
}

/** The layer that the fault is for. */
function brokenLayer({ layers }: BuiltImage): { digest: string; size: number } {
  const layer = layers[1];
  if (layer === undefined) throw new Error("the image has too few layers");
  return layer.descriptor;
}

async function expectWhole(image: BuiltImage): Promise<void> {
  const there = await s.checkedDigests();
  for (const { descriptor } of [image.root, ...image.blobs]) expect(there).toContain(descriptor.digest);
  expect(await s.stores.content.listStatuses(s.ctx, [])).toEqual([]);
}

const faults: [string, readonly Way[], (size: number) => Fault][] = [
  ["stalls", ways, (size) => ({ stallAfter: randomInt(1, size) })],
  ["is reset at a random byte", ways, (size) => ({ resetAfter: randomInt(1, size) })],
  ["is truncated", ways, (size) => ({ truncateAfter: randomInt(1, size) })],
  ["answers 429 with Retry-After", ways, () => ({ status: 429, headers: { "retry-after": "1" } })],
  ["answers 500", ways, () => ({ status: 500 })],
  ["redirects to another host", ways, () => ({ redirectTo: `http://${store.host}` })],
  ["finds the token expired", ["token"], () => ({ status: 401 })],
];

describe.each(ways)("a registry (%s)", (way) => {
  it.each(faults.filter(([, on]) => on.includes(way)))("%s, and then does not: all comes", async (name, _, fault) => {
    const { image, reference } = await offer(way);
    const { proxy, resolver } = of(way);
    const { digest: broken, size } = brokenLayer(image);
    let hits = 0;
    proxy.onRequest(({ method, url, headers }, seen) => {
      // Those without credentials are refused anyway.
      const counts =
        method === "GET" && url.includes(broken) && (way === "plain" || way === "TLS" || headers.authorization);
      if (!counts || seen > 0) return undefined;
      hits++;
      const made = fault(size);
      if (!name.includes("token") || !("status" in made)) return made;
      // As the registry itself says it: with its own realm.
      return { ...made, headers: { "www-authenticate": tokenChallenge(url) } };
    });
    await s.pull(reference, { resolver, packed: true });
    expect(hits).toBe(1);
    await expectWhole(image);
  });

  it("sends a wrong byte: one clear error, nothing is kept, and the next pull is right", async () => {
    const { image, reference } = await offer(way);
    const { proxy, resolver } = of(way);
    const { digest: broken, size } = brokenLayer(image);
    const flipAt = randomInt(0, size);
    proxy.onRequest(({ method, url }) => (method === "GET" && url.includes(broken) ? { flipAt } : undefined));
    await expect(s.pull(reference, { resolver, packed: true })).rejects.toMatchObject({
      kind: "failed-precondition",
      message: expect.stringContaining(broken),
    });
    expect(await s.checkedDigests()).not.toContain(broken);
    proxy.onRequest(() => undefined);
    await s.pull(reference, { resolver, packed: true });
    await expectWhole(image);
  });

  it("stalls and the pull is canceled: it ends within a second, and the next goes on", async () => {
    const { image, reference } = await offer(way);
    const { proxy, resolver } = of(way);
    const { digest: broken } = brokenLayer(image);
    const isStalled = Promise.withResolvers<void>();
    proxy.onRequest(({ method, url, headers }) => {
      if (method !== "GET" || !url.includes(broken)) return undefined;
      if (way === "plain" || way === "TLS" || headers.authorization !== undefined) isStalled.resolve();
      return { stallAfter: 1_000 };
    });
    const controller = new AbortController();
    const pulling = s.pull(reference, { resolver, packed: true }, controller.signal);
    const ended = expect(pulling).rejects.toThrow();
    await isStalled.promise;
    const began = performance.now();
    controller.abort();
    await ended;
    expect(performance.now() - began).toBeLessThan(1_000);
    proxy.onRequest(() => undefined);
    await s.pull(reference, { resolver, packed: true });
    await expectWhole(image);
  });
});

/** What docker-registry asks for when a token has expired. */
function tokenChallenge(url: string): string {
  const repository = /^\/v2\/(.+)\/blobs\//.exec(url)?.[1] ?? "";
  return `Bearer realm="${tokenRealm}",service="test-registry",scope="repository:${repository}:pull",error="invalid_token"`;
}
