// Forward proxies of the environment, before real registries.
import { createHash, randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createContext } from "@ctrd/core/context";
import { silentLogger } from "@ctrd/core/log";
import type { Resolver } from "@ctrd/core/remotes";
import type { ForwardProxy, TempDir, TestRegistry } from "@ctrd/testkit/fixtures";
import {
  layeredImage,
  mustRun,
  pushImage,
  startFaultProxy,
  startForwardProxy,
  startRegistry,
  tempDir,
} from "@ctrd/testkit/fixtures";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { hostsFromDirectories, createRegistryResolver } from "./index.ts";
import { proxyFor } from "./proxy-environment.ts";

const ctx = createContext({ namespace: "test" });
let directory: TempDir;
let plain: TestRegistry;
let secure: TestRegistry;
let digest: string;
let hosts: Record<string, string>;

beforeAll(async () => {
  directory = await tempDir("proxies-");
  const sh = (script: string) => mustRun("sh", ["-ec", script], { cwd: directory.path });
  await sh(`
    openssl req -x509 -new -nodes -newkey rsa:2048 -days 2 -subj /CN=ca -keyout ca.key -out ca.crt 2>/dev/null
    echo subjectAltName=DNS:registry.test > san
    openssl req -new -nodes -newkey rsa:2048 -subj /CN=server -keyout server.key -out server.csr 2>/dev/null
    openssl x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile san -in server.csr -out server.crt 2>/dev/null`);
  const dir = join(directory.path, "data");
  plain = await startRegistry({ dir });
  const tls = { cert: join(directory.path, "server.crt"), key: join(directory.path, "server.key") };
  secure = await startRegistry({ dir, tls });
  const image = await layeredImage(1);
  await pushImage(plain, "test/image", "1", image);
  digest = image.root.descriptor.digest;
  hosts = { "registry.test:443": secure.host, "registry.test:5000": plain.host };
});
beforeEach(() => {
  for (const name of ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"]) {
    vi.stubEnv(name, "");
    vi.stubEnv(name.toLowerCase(), "");
  }
});
afterEach(() => vi.unstubAllEnvs());
afterAll(async () => {
  for (const registry of [plain, secure]) await registry?.[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

let count = 0;
/** A resolver whose `hosts.toml` trusts the test's authority. */
async function resolver(trusted = true): Promise<Resolver> {
  const certs = join(directory.path, `certs-${count++}`);
  await mkdir(join(certs, "registry.test"), { recursive: true });
  const toml = `server = "https://registry.test"\n${trusted ? `ca = "${directory.path}/ca.crt"\n` : ""}`;
  await writeFile(join(certs, "registry.test", "hosts.toml"), toml);
  await mkdir(join(certs, "registry.test_5000_"));
  await writeFile(join(certs, "registry.test_5000_", "hosts.toml"), 'server = "http://registry.test:5000"\n');
  const options = { stallTimeoutMs: 1_000, dialTimeoutMs: 1_000 };
  return createRegistryResolver({
    hosts: hostsFromDirectories({ directories: [certs], log: silentLogger, ...options }),
  });
}

/** Resolves, fetches and pushes. */
async function use(host: string, made: Resolver): Promise<void> {
  const reference = `${host}/test/image:1`;
  const { target } = await made.resolve(ctx, reference);
  expect(target.digest).toBe(digest);
  const hash = createHash("sha256");
  for await (const chunk of await (await made.fetcher(ctx, reference)).fetch(ctx, target)) hash.update(chunk);
  expect(`sha256:${hash.digest("hex")}`).toBe(digest);
  const bytes = randomBytes(100_000);
  const blob = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  const descriptor = { mediaType: "application/octet-stream", digest: blob, size: 100_000n, annotations: new Map() };
  const writer = await (await made.pusher(ctx, reference)).push(ctx, descriptor);
  await writer.write(bytes);
  await writer.commit();
}

const asked = ({ requests }: ForwardProxy, what: string): number =>
  requests.filter((line) => line.startsWith(what)).length;

describe("a registry behind a proxy", () => {
  it.each(["HTTPS_PROXY", "https_proxy"])(
    "is reached through a tunnel, with its own TLS settings: %s",
    async (name) => {
      await using proxy = await startForwardProxy({ hosts });
      vi.stubEnv(name, `http://${proxy.host}`);
      await use("registry.test", await resolver());
      expect(asked(proxy, "CONNECT registry.test:443")).toBeGreaterThan(0);
      expect(asked(proxy, "CONNECT")).toBe(proxy.requests.length);
      await expect((await resolver(false)).resolve(ctx, "registry.test/test/image:1")).rejects.toThrow(/certificate/);
    },
  );

  it.each(["HTTP_PROXY", "http_proxy"])("is asked in plain with whole URLs: %s", async (name) => {
    await using proxy = await startForwardProxy({ hosts });
    // No scheme, as many write it.
    vi.stubEnv(name, proxy.host);
    await use("registry.test:5000", await resolver());
    expect(asked(proxy, "HEAD http://registry.test:5000/v2/test/image/manifests/1")).toBe(1);
    expect(asked(proxy, "CONNECT")).toBe(0);
  });

  it("that wants a user: gets it from the URL; without, one clear error without a password in it", async () => {
    await using proxy = await startForwardProxy({ hosts, user: "me:p@ss word" });
    vi.stubEnv("HTTPS_PROXY", `http://me:p%40ss%20word@${proxy.host}`);
    vi.stubEnv("HTTP_PROXY", `http://me:p%40ss%20word@${proxy.host}`);
    await use("registry.test", await resolver());
    await use("registry.test:5000", await resolver());
    vi.stubEnv("HTTPS_PROXY", `http://me:wr0ng@${proxy.host}`);
    vi.stubEnv("HTTP_PROXY", `http://me:wr0ng@${proxy.host}`);
    const words = `the proxy ${proxy.host} refuses with status 407; it wants user and password`;
    for (const host of ["registry.test", "registry.test:5000"]) {
      const error: unknown = await (await resolver()).resolve(ctx, `${host}/test/image:1`).catch((e: unknown) => e);
      expect(error).toMatchObject({ kind: "unavailable", message: expect.stringContaining(words) });
      expect(JSON.stringify(error)).not.toContain("wr0ng");
    }
  });

  it("that refuses, is not there, or does not answer: one clear error in bounded time", async () => {
    await using refusing = await startForwardProxy({ hosts, refuse: 403 });
    vi.stubEnv("HTTPS_PROXY", `http://${refusing.host}`);
    const resolve = async () => (await resolver()).resolve(ctx, "registry.test/test/image:1");
    await expect(resolve()).rejects.toThrow(`the proxy ${refusing.host} refuses with status 403`);
    const gone = await startForwardProxy({ hosts });
    await gone[Symbol.asyncDispose]();
    vi.stubEnv("HTTPS_PROXY", `http://${gone.host}`);
    await expect(resolve()).rejects.toThrow(`ECONNREFUSED ${gone.host}`);
    await using silent = await startForwardProxy({ hosts, silent: true });
    vi.stubEnv("HTTPS_PROXY", `http://${silent.host}`);
    const controller = new AbortController();
    const canceled = (await resolver()).resolve(createContext({ signal: controller.signal }), "registry.test/a:1");
    await expect.poll(() => silent.requests.length).toBeGreaterThan(0);
    const began = performance.now();
    controller.abort();
    await expect(canceled).rejects.toThrow();
    expect(performance.now() - began).toBeLessThan(1_000);
  });

  it("is reached directly when NO_PROXY names it, or when it is on this machine", async () => {
    await using proxy = await startForwardProxy({ hosts: {} });
    vi.stubEnv("HTTP_PROXY", `http://${proxy.host}`);
    await using front = await startFaultProxy(plain.host);
    const local = createRegistryResolver({
      hosts: hostsFromDirectories({ directories: [], log: silentLogger, defaultScheme: "http" }),
    });
    await use(front.host, local);
    expect(proxy.requests).toEqual([]);
    expect(front.requests.length).toBeGreaterThan(0);
    vi.stubEnv("NO_PROXY", "other.test,registry.test");
    // Only a proxy knows where this name is.
    await expect((await resolver()).resolve(ctx, "registry.test:5000/test/image:1")).rejects.toThrow(
      /ENOTFOUND|EAI_AGAIN/,
    );
    expect(proxy.requests).toEqual([]);
  });

  it("gets no credentials of the registry, and the registry none of the proxy", async () => {
    await using front = await startFaultProxy(plain.host);
    await using proxy = await startForwardProxy({ hosts: { "registry.test:5000": front.host }, user: "me:secret" });
    vi.stubEnv("HTTP_PROXY", `http://me:secret@${proxy.host}`);
    await use("registry.test:5000", await resolver());
    for (const { headers } of front.requests) expect(headers).not.toHaveProperty("proxy-authorization");
  });
});

describe("proxyFor", () => {
  const choose = (url: string, environment: Record<string, string>): string | undefined =>
    proxyFor(new URL(url), environment)?.href;
  const proxies = { HTTPS_PROXY: "http://one:1", http_proxy: "two:2" };

  it("takes the variable of the scheme; upper case first", () => {
    expect(choose("https://a.test", proxies)).toBe("http://one:1/");
    expect(choose("http://a.test", proxies)).toBe("http://two:2/");
    expect(choose("https://a.test", { HTTPS_PROXY: "", https_proxy: "https://x:3" })).toBe("https://x:3/");
    expect(choose("https://a.test", { HTTPS_PROXY: "http://upper", https_proxy: "http://lower" })).toBe(
      "http://upper/",
    );
    expect(choose("https://a.test", { HTTP_PROXY: "http://plain" })).toBeUndefined();
    expect(choose("http://a.test", { HTTP_PROXY: "http://header", REQUEST_METHOD: "GET" })).toBeUndefined();
  });

  it.each(["socks5://me:s3cret@x:1", "http://", "://me:s3cret@", "http://a b"])(
    "refuses %s, and tells no password",
    (text) => {
      let message = "";
      try {
        choose("https://a.test", { HTTPS_PROXY: text });
      } catch (error) {
        message = String(error);
      }
      expect(message).toContain("HTTPS_PROXY is no URL of a proxy");
      expect(message).not.toContain("s3cret");
    },
  );

  it.each(["localhost", "LOCALHOST:5000", "127.0.0.1:5000", "127.8.9.1", "[::1]:5000"])("never for %s", (host) => {
    expect(choose(`https://${host}`, proxies)).toBeUndefined();
  });

  it.each([
    ["*", "a.test", true],
    ["a.test", "a.test", true],
    ["A.Test", "a.test:5000", true],
    ["a.test", "b.a.test", true],
    ["a.test", "ba.test", false],
    [".a.test", "a.test", false],
    [".a.test", "b.a.test", true],
    ["*.a.test", "b.a.test", true],
    ["*.a.test", "a.test", false],
    ["a.test:5000", "a.test:5000", true],
    ["a.test:5000", "a.test", false],
    ["a.test:443", "a.test", true],
    ["x, a.test ,y", "a.test", true],
    ["10.1.2.3", "10.1.2.3", true],
    ["10.1.2.3:80", "10.1.2.3", false],
    ["10.0.0.0/8", "10.1.2.3", true],
    ["10.0.0.0/8", "11.1.2.3", false],
    ["10.0.0.0/99", "10.1.2.3", false],
    ["fd00::/8", "[fd12::1]", true],
    ["fd12:0::1", "[fd12::1]", true],
    ["[fd12::1]:443", "[fd12::1]", true],
    ["2.3", "10.1.2.3", false],
    [",,", "a.test", false],
  ])("NO_PROXY=%s for %s: direct %s", (exceptions, host, direct) => {
    expect(choose(`https://${host}`, { ...proxies, NO_PROXY: exceptions }) === undefined).toBe(direct);
    expect(choose(`https://${host}`, { ...proxies, no_proxy: exceptions }) === undefined).toBe(direct);
  });
});
