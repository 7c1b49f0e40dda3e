// TLS and hosts.toml against the real docker-registry, with certificates made by openssl.
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { createContext } from "@ctrd/core/context";
import { silentLogger } from "@ctrd/core/log";
import type { Resolver } from "@ctrd/core/remotes";
import type { FaultProxy, TempDir, TestRegistry } from "@ctrd/testkit/fixtures";
import {
  freePort,
  layeredImage,
  mustRun,
  pushImage,
  startFaultProxy,
  startRegistry,
  tempDir,
} from "@ctrd/testkit/fixtures";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createAuthorizer, createRegistryResolver, hostsFromDirectories } from "./index.ts";
import type { HostsDirectoryOptions } from "./index.ts";

const ctx = createContext({ namespace: "test" });
let directory: TempDir;
let plain: TestRegistry;
let secure: TestRegistry;
let mutual: TestRegistry;
let proxy: FaultProxy;
let digest: string;
/** certs.d of one test. */
let certs: string;
let count = 0;

beforeAll(async () => {
  directory = await tempDir("reg-tls-");
  const path = (name: string): string => join(directory.path, name);
  const openssl = (...args: string[]) => mustRun("openssl", args, { cwd: directory.path });
  for (const ca of ["ca", "other"]) {
    await openssl(
      ..."req -x509 -new -nodes -newkey rsa:2048 -days 2".split(" "),
      ...["-subj", `/CN=${ca}`],
      ...["-keyout", `${ca}.key`, "-out", `${ca}.crt`],
    );
  }
  await writeFile(path("san.ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
  for (const name of ["server", "client"]) {
    await openssl(
      ..."req -new -nodes -newkey rsa:2048".split(" "),
      "-subj",
      `/CN=${name}`,
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.csr`,
    );
    const sign = "x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile san.ext".split(" ");
    await openssl(...sign, "-in", `${name}.csr`, "-out", `${name}.crt`);
  }
  await mustRun("sh", ["-c", "cat client.crt client.key > both.pem"], { cwd: directory.path });
  const dir = path("data");
  const tls = { cert: path("server.crt"), key: path("server.key") };
  plain = await startRegistry({ dir });
  secure = await startRegistry({ dir, tls });
  mutual = await startRegistry({ dir, tls: { ...tls, clientCa: path("ca.crt") } });
  proxy = await startFaultProxy(plain.host);
  const image = await layeredImage(1);
  await pushImage(plain, "test/image", "1", image);
  digest = image.root.descriptor.digest;
});
beforeEach(async () => {
  certs = join(directory.path, `certs-${count++}`);
  await mkdir(certs);
});
afterEach(() => proxy.onRequest(() => undefined));
afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]();
  for (const registry of [plain, secure, mutual]) await registry?.[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

function resolver(options: Partial<HostsDirectoryOptions> = {}): Resolver {
  const hosts = hostsFromDirectories({ directories: [certs], log: silentLogger, stallTimeoutMs: 1_000, ...options });
  return createRegistryResolver({ hosts });
}

async function configure(host: string, toml: string): Promise<void> {
  await mkdir(join(certs, host), { recursive: true });
  await writeFile(join(certs, host, "hosts.toml"), toml);
}

/** Resolves, fetches and pushes. */
async function use(host: string, made: Resolver = resolver()): Promise<void> {
  const reference = `${host}/test/image:1`;
  const { target } = await made.resolve(ctx, reference);
  expect(target.digest).toBe(digest);
  const hash = createHash("sha256");
  for await (const chunk of await (await made.fetcher(ctx, reference)).fetch(ctx, target)) hash.update(chunk);
  expect(`sha256:${hash.digest("hex")}`).toBe(digest);
  await pushBlob(made, reference);
}

async function pushBlob(made: Resolver, reference: string): Promise<void> {
  const bytes = randomBytes(1_000);
  const blob = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  const descriptor = { mediaType: "application/octet-stream", digest: blob, size: 1_000n, annotations: new Map() };
  const writer = await (await made.pusher(ctx, reference)).push(ctx, descriptor);
  await writer.write(bytes);
  await writer.commit();
}

const local = (host: string): string => host.replace("127.0.0.1", "localhost");

describe("hosts.toml", () => {
  it("names the authority of a registry, relative to itself", async () => {
    // Not a name of this machine to us, so nothing is guessed: refused without settings.
    const name = `registry.test:${secure.host.split(":")[1]}`;
    await configure(name, `server = "https://${secure.host}"\n`);
    await expect(resolver().resolve(ctx, `${name}/test/image:1`)).rejects.toMatchObject({
      kind: "unavailable",
      message: expect.stringMatching(/certificate/),
    });
    await configure(name, `server = "https://${secure.host}"\nca = "../../ca.crt"\n`);
    await use(name);
    await configure(name, `server = "https://${secure.host}"\nca = ["${directory.path}/other.crt", "../../ca.crt"]\n`);
    await use(name);
    await configure(name, `server = "https://${secure.host}"\nskip_verify = true\n`);
    await use(name);
    await configure(name, `server = "https://${secure.host}"\nca = "../../other.crt"\n`);
    await expect(resolver().resolve(ctx, `${name}/test/image:1`)).rejects.toThrow(/certificate/);
  });

  it.each([
    ["pairs", `client = [["../../client.crt", "../../client.key"]]`],
    ["one file with both", `client = "../../both.pem"`],
    ["a list of such files", `client = ["../../both.pem"]`],
  ])("gives the client's certificate in %s", async (_name, line) => {
    const base = `server = "https://${mutual.host}"\nca = "../../ca.crt"\n`;
    await configure("mutual.test", base);
    await expect(resolver().resolve(ctx, "mutual.test/test/image:1")).rejects.toMatchObject({ kind: "unavailable" });
    await configure("mutual.test", `${base}${line}\n`);
    await use("mutual.test");
  });

  it("asks mirrors in order, tells them whose content it is, and says what each answered", async () => {
    const dead = `127.0.0.1:${await freePort()}`;
    proxy.onRequest(({ url }) => (url.startsWith("/empty/") ? { status: 404 } : undefined));
    const toml = `
      server = "https://${secure.host}"
      ca = "../../ca.crt"
      [host."http://${dead}"]
        capabilities = ["pull", "resolve"]
      [host."${proxy.url}/empty/v2"]
        capabilities = ["Pull", "resolve"]
        [host."${proxy.url}/empty/v2".header]
          X-Test = ["one", "two"]
      [host."${plain.url}"]
        capabilities = ["push"]`;
    await configure("mirrored.test", toml);
    const made = resolver();
    const before = proxy.requests.length;
    const { target } = await made.resolve(ctx, "mirrored.test/test/image:1");
    const [asked] = proxy.requests.slice(before);
    expect(asked?.url).toBe("/empty/v2/test/image/manifests/1?ns=mirrored.test");
    expect(asked?.headers["x-test"]).toBe("one, two");
    const { served } = await (await made.fetcher(ctx, "mirrored.test/test/image:1")).fetch(ctx, target);
    expect(served.host).toBe(secure.host);
    expect(served.attempts.map(({ host }) => host)).toEqual([dead, proxy.host]);
    expect(served.attempts[0]?.error).toContain("ECONNREFUSED");
    expect(served.attempts[1]?.error).toContain("404");
    await expect(pushBlob(made, "mirrored.test/test/image:1")).resolves.toBeUndefined();
    expect(proxy.requests.slice(before).every(({ method }) => method !== "POST")).toBe(true);
  });

  it("falls back to the registry itself, at /v2 and with all that a caller gave", async () => {
    const dead = `127.0.0.1:${await freePort()}`;
    const host = local(plain.host);
    const toml = `override_path = true\ncapabilities = ["push"]\n[host."http://${dead}"]\ncapabilities = ["pull", "resolve"]\n`;
    // The registry itself is on this machine: TLS is tried, then plain HTTP.
    await configure(`${host.replace(":", "_")}_`, toml);
    await use(host);
  });

  it("takes a path as it is with override_path, and adds /v2 without", async () => {
    await configure("_default", `server = "${proxy.url}/v2"\noverride_path = true\n`);
    await use("first.test");
    await configure("_default", `server = "${proxy.url}"\n`);
    await use("second.test");
  });

  it("that is wrong is ignored for Docker's files", async () => {
    const host = secure.host;
    await configure(host, `server = "https://${plain.host}"\ncapabilities = ["fly"]\n`);
    await mustRun("cp", ["ca.crt", join(certs, host, "ca.crt")], { cwd: directory.path });
    const errors: unknown[] = [];
    const log = { ...silentLogger, error: (...words: unknown[]) => void errors.push(words) };
    await use(host, resolver({ log }));
    expect(JSON.stringify(errors)).toMatch(/hosts\.toml.*fly/);
    await mkdir(join(certs, mutual.host));
    for (const [from, to] of [
      ["ca.crt", "x.crt"],
      ["client.crt", "c.cert"],
      ["client.key", "c.key"],
    ] as const) {
      await mustRun("cp", [from, join(certs, mutual.host, to)], { cwd: directory.path });
    }
    await use(mutual.host);
  });

  it("is looked for in each root, and no host leads out of them", async () => {
    const empty = join(directory.path, "empty");
    await mkdir(empty, { recursive: true });
    await configure("rooted.test", `server = "${plain.url}"\n`);
    await use("rooted.test", resolver({ directories: [empty, certs] }));
    for (const host of ["..", ".", "../x"]) {
      await expect(resolver().resolve(ctx, `${host}/image:1`)).rejects.toMatchObject({ kind: "invalid-argument" });
    }
  });
});

describe("a registry without settings", () => {
  it("on this machine is asked over TLS without check, then in plain", async () => {
    await use(local(secure.host));
    await use(local(plain.host));
    await use(plain.host);
  });

  it("is not asked in plain because a connection breaks or a certificate is refused", async () => {
    const seen: string[] = [];
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", (data) => {
        seen.push(data[0] === 0x16 ? "tls" : data.toString());
        socket.resetAndDestroy();
      });
    });
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    try {
      const host = `127.0.0.1:${port}`;
      await configure(host, `server = "http://${host}"\nca = "../../ca.crt"\n[header]\nx-secret = "s"\n`);
      await expect(resolver().resolve(ctx, `${host}/test/image:1`)).rejects.toMatchObject({ kind: "unavailable" });
      expect(seen.filter((one) => one !== "tls")).toEqual([]);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
    await configure(mutual.host, `server = "http://${mutual.host}"\nca = "../../ca.crt"\n`);
    await expect(resolver().resolve(ctx, `${mutual.host}/test/image:1`)).rejects.toMatchObject({
      kind: "unavailable",
      message: expect.not.stringContaining("HTTP request to an HTTPS server"),
    });
  });

  it("with http and TLS settings is asked over TLS first", async () => {
    const toml = (host: string): string => `server = "http://${host}"\nca = "../../ca.crt"\n`;
    await configure("tls.test", toml(secure.host));
    await use("tls.test");
    await configure("plain.test", toml(plain.host));
    await use("plain.test");
  });
});

it("sends no credentials over plain HTTP because an https registry names such a place for an upload", async () => {
  const plainly: (string | undefined)[] = [];
  const credentials = { username: "user", secret: "s3cret" };
  const sink = createHttpServer((request, response) => {
    plainly.push(request.headers.authorization);
    request.resume().on("end", () => response.writeHead(201).end());
  });
  const [cert, key] = await Promise.all(["crt", "key"].map((end) => readFile(join(directory.path, `server.${end}`))));
  const server = createHttpsServer({ cert, key }, (request, response) => {
    request.resume();
    const location = `http://${request.headers.host}/upload?state=a%2Fb`;
    if (request.headers.authorization === undefined) {
      response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
    } else if (request.method === "POST") response.writeHead(202, { location }).end();
    else response.writeHead(404).end();
  });
  const listen = async (one: Server): Promise<number> => {
    await new Promise<void>((resolve) => one.listen(0, "127.0.0.1", resolve));
    return (one.address() as AddressInfo).port;
  };
  const ports = { tls: await listen(server), plain: await listen(sink) };
  // Both on one port, as behind a proxy that knows only http.
  const both = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (first) => {
      const inner = connect(first[0] === 0x16 ? ports.tls : ports.plain, "127.0.0.1");
      inner.on("error", () => {});
      inner.write(first);
      socket.pipe(inner).pipe(socket);
    });
  });
  const port = await listen(both);
  try {
    await configure("upload.test", `server = "https://127.0.0.1:${port}"\nca = "../../ca.crt"\n`);
    const authorizer = (host: string) => createAuthorizer(host, () => Promise.resolve(credentials));
    await pushBlob(resolver({ authorizer }), "upload.test/test/image:1");
    expect(plainly).toEqual([undefined]);
  } finally {
    for (const one of [sink, server]) one.closeAllConnections();
    await Promise.all([sink, server, both].map((one) => new Promise((resolve) => one.close(resolve))));
  }
});
