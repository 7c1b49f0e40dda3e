import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createContext } from "@ctrd/core/context";
import type { Descriptor } from "@ctrd/core/records";
import type { FetchedContent, Resolver } from "@ctrd/core/remotes";
import type { Fault, FaultProxy, SeenRequest, TestRegistry } from "@ctrd/testkit/fixtures";
import { layeredImage, pushImage, startFaultProxy, startRegistry } from "@ctrd/testkit/fixtures";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createAuthorizer, createRegistryResolver, registryHosts } from "./index.ts";

const ctx = createContext({ namespace: "test" });
const octets = "application/vnd.oci.image.layer.v1.tar";

let registry: TestRegistry;
let proxy: FaultProxy;
let direct: Resolver;
let faulty: Resolver;
let manifestDigest: string;

beforeAll(async () => {
  registry = await startRegistry();
  proxy = await startFaultProxy(registry.host);
  const hosts = registryHosts({ defaultScheme: "http", stallTimeoutMs: 1_000 });
  direct = createRegistryResolver({ hosts });
  faulty = createRegistryResolver({ hosts, parallelMinimum: 12 << 20, parallelPieces: 3 });
  const image = await layeredImage(2);
  await pushImage(registry, "test/image", "1", image);
  manifestDigest = image.root.descriptor.digest;
});
afterEach(() => proxy.onRequest(() => undefined));
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

function descriptorOf(bytes: Uint8Array, mediaType: string = octets): Descriptor {
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  return { mediaType, digest, size: BigInt(bytes.length), annotations: new Map() };
}

async function push(resolver: Resolver, reference: string, bytes: Buffer, mediaType?: string): Promise<Descriptor> {
  const descriptor = descriptorOf(bytes, mediaType);
  const writer = await (await resolver.pusher(ctx, reference)).push(ctx, descriptor);
  for (let at = 0; at < bytes.length; at += 1 << 20) await writer.write(bytes.subarray(at, at + (1 << 20)));
  await writer.commit();
  return descriptor;
}

async function readAll(content: FetchedContent): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of content) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

describe("a real registry", () => {
  it("is refused content of another size, which leaves no error that nobody waits for", async () => {
    const stray: unknown[] = [];
    const onStray = (error: unknown): void => void stray.push(error);
    process.on("uncaughtExceptionMonitor", onStray);
    const plain = createRegistryResolver({ hosts: registryHosts({ defaultScheme: "http" }) });
    const reference = `${registry.host}/test/sizes:1`;
    const descriptor = await push(direct, reference, randomBytes(10));
    const fetcher = await plain.fetcher(ctx, reference);
    const wrong = fetcher.fetch(ctx, { ...descriptor, size: descriptor.size + 1n });
    await expect(wrong).rejects.toMatchObject({ kind: "data-loss" });
    // The connection is used again, or another is made: either is after the abortion.
    expect(await readAll(await fetcher.fetch(ctx, descriptor))).toHaveLength(10);
    process.off("uncaughtExceptionMonitor", onStray);
    expect(stray).toEqual([]);
  });

  it("resolves a tag and a digest, and fetches what they point at", async () => {
    const byTag = await direct.resolve(ctx, `${registry.host}/test/image:1`);
    expect(byTag).toMatchObject({ name: `${registry.host}/test/image:1`, target: { digest: manifestDigest } });
    const reference = `${registry.host}/test/image@${manifestDigest}`;
    expect((await direct.resolve(ctx, reference)).target).toEqual(byTag.target);
    const fetcher = await direct.fetcher(ctx, reference);
    const manifest = await readAll(await fetcher.fetch(ctx, byTag.target));
    expect(descriptorOf(manifest).digest).toBe(manifestDigest);
    const { layers } = JSON.parse(manifest.toString()) as { layers: { digest: string; size: number }[] };
    const [layer] = layers;
    const descriptor = {
      ...byTag.target,
      mediaType: octets,
      digest: layer?.digest ?? "",
      size: BigInt(layer?.size ?? 0),
    };
    expect(descriptorOf(await readAll(await fetcher.fetch(ctx, descriptor))).digest).toBe(descriptor.digest);
    const tail = await fetcher.fetch(ctx, descriptor, { offset: descriptor.size - 5n });
    expect(tail.offset).toBe(descriptor.size - 5n);
    expect((await readAll(tail)).length).toBe(5);
  });

  it("says what is not there", async () => {
    await expect(direct.resolve(ctx, `${registry.host}/test/none:1`)).rejects.toMatchObject({ kind: "not-found" });
    const fetcher = await direct.fetcher(ctx, `${registry.host}/test/image:1`);
    const missing = descriptorOf(Buffer.from("not there"));
    await expect(fetcher.fetch(ctx, missing)).rejects.toMatchObject({
      kind: "not-found",
      message: expect.stringContaining(missing.digest),
    });
    await expect(direct.resolve(ctx, `${registry.host}/test/image`)).rejects.toMatchObject({
      kind: "invalid-argument",
    });
  });

  it("pushes blobs and a manifest, mounts across repositories, and says what is there", async () => {
    const bytes = randomBytes(3 << 20);
    const blob = await push(direct, `${registry.host}/test/pushed:1`, bytes);
    await expect(push(direct, `${registry.host}/test/pushed:1`, bytes)).rejects.toMatchObject({
      kind: "already-exists",
    });
    const labelled = {
      ...blob,
      annotations: new Map([[`containerd.io/distribution.source.${registry.host}`, "test/pushed"]]),
    };
    const other = await direct.pusher(ctx, `${registry.host}/test/mounted:1`);
    await expect(other.push(ctx, labelled)).rejects.toThrow("mounted from test/pushed");
    const config = await push(direct, `${registry.host}/test/pushed:1`, Buffer.from("{}"));
    const json = (entry: Descriptor) => ({
      mediaType: entry.mediaType,
      digest: entry.digest,
      size: Number(entry.size),
    });
    const manifestType = "application/vnd.oci.image.manifest.v1+json";
    const manifest = { schemaVersion: 2, mediaType: manifestType, config: json(config), layers: [json(blob)] };
    const reference = `${registry.host}/test/pushed:1`;
    const pushed = await push(direct, reference, Buffer.from(JSON.stringify(manifest)), manifestType);
    expect((await direct.resolve(ctx, reference)).target).toMatchObject({ digest: pushed.digest });
    expect(await (await direct.fetcher(ctx, reference)).referrers?.(ctx, pushed.digest)).toEqual([]);
  });

  it("refuses an upload that is not what was announced", async () => {
    const descriptor = descriptorOf(randomBytes(1000));
    const pusher = await direct.pusher(ctx, `${registry.host}/test/wrong:1`);
    const short = await pusher.push(ctx, descriptor);
    await short.write(Buffer.alloc(10));
    await expect(short.commit()).rejects.toMatchObject({ kind: "failed-precondition" });
    const wrong = await pusher.push(ctx, descriptor);
    await wrong.write(Buffer.alloc(1000));
    await expect(wrong.commit()).rejects.toThrow(/DIGEST_INVALID|digest/);
  });
});

describe("a registry that fails", () => {
  const blobs = (decide: (count: number) => Fault | undefined) => (seen: SeenRequest, count: number) =>
    seen.method === "GET" && seen.url.includes("/blobs/") ? decide(count) : undefined;
  let small: { bytes: Buffer; descriptor: Descriptor };
  let large: { bytes: Buffer; descriptor: Descriptor };

  beforeAll(async () => {
    for (const size of [5 << 20, 30 << 20]) {
      const bytes = randomBytes(size);
      const descriptor = await push(direct, `${registry.host}/test/blobs:1`, bytes);
      if (size === 5 << 20) small = { bytes, descriptor };
      else large = { bytes, descriptor };
    }
  });
  const fetch = async (descriptor: Descriptor, signal?: AbortSignal): Promise<Buffer> => {
    const call = createContext({ namespace: "test", ...(signal === undefined ? {} : { signal }) });
    const fetcher = await faulty.fetcher(call, `${proxy.host}/test/blobs:1`);
    return readAll(await fetcher.fetch(call, descriptor));
  };

  it.each([
    ["resets", { resetAfter: 1_000_000 }],
    ["stalls", { stallAfter: 1_000_000 }],
    ["ends early", { truncateAfter: 1_000_000 }],
    ["is overloaded", { status: 503 }],
    ["asks to wait", { status: 429, headers: { "retry-after": "1" } }],
    ["fails", { status: 500 }],
  ] satisfies [string, Fault][])("that %s once: the blob comes all the same", async (_name, fault) => {
    proxy.onRequest(blobs((count) => (count === 0 ? fault : undefined)));
    const before = proxy.requests.length;
    expect((await fetch(small.descriptor)).equals(small.bytes)).toBe(true);
    const resumed = proxy.requests.slice(before).at(-1)?.headers["range"];
    if (!("status" in fault)) expect(resumed).toMatch(/^bytes=[1-9]\d*-$/);
  });

  it("that resets again and again but gets on: the blob comes in pieces", async () => {
    proxy.onRequest(blobs(() => ({ resetAfter: 1_500_000 })));
    expect((await fetch(small.descriptor)).equals(small.bytes)).toBe(true);
  });

  it("fetches a large blob in pieces at once, also when pieces break", async () => {
    let broken = 0;
    proxy.onRequest(blobs(() => (broken++ % 3 === 1 ? { resetAfter: 100_000 } : undefined)));
    expect((await fetch(large.descriptor)).equals(large.bytes)).toBe(true);
    expect(broken).toBeGreaterThan(4);
  });

  it("fetches a large blob whose pieces break again and again but get on", async () => {
    proxy.onRequest(blobs(() => ({ resetAfter: 1_000_000 })));
    expect((await fetch(large.descriptor)).equals(large.bytes)).toBe(true);
  });

  it("that knows no ranges: a large blob is read as one stream, from the start again when it breaks", async () => {
    const before = proxy.requests.length;
    proxy.onRequest(blobs(() => ({ hide: ["range"] })));
    expect((await fetch(large.descriptor)).equals(large.bytes)).toBe(true);
    expect(proxy.requests.length).toBe(before + 1);
    proxy.onRequest(blobs((count) => (count === 0 ? { resetAfter: 3_000_000 } : { hide: ["range"] })));
    expect((await fetch(small.descriptor)).equals(small.bytes)).toBe(true);
    const fetcher = await faulty.fetcher(ctx, `${proxy.host}/test/blobs:1`);
    proxy.onRequest(blobs(() => ({ hide: ["range"] })));
    const part = await fetcher.fetch(ctx, small.descriptor, { offset: 0n, length: 1000n });
    expect((await readAll(part)).equals(small.bytes.subarray(0, 1000))).toBe(true);
  });

  it("that loses its ranges under way: pieces are cut out of the whole", async () => {
    let count = 0;
    proxy.onRequest(blobs(() => (count++ > 1 ? { hide: ["range"] } : undefined)));
    expect((await fetch(large.descriptor)).equals(large.bytes)).toBe(true);
  });

  it("knows no HEAD, or does not tell digest or size: the manifest is read", async () => {
    const resolve = async () => (await direct.resolve(ctx, `${proxy.host}/test/image:1`)).target.digest;
    proxy.onRequest(({ method }) => (method === "HEAD" ? { status: 405 } : undefined));
    expect(await resolve()).toBe(manifestDigest);
    proxy.onRequest(() => ({ hide: ["docker-content-digest"] }));
    expect(await resolve()).toBe(manifestDigest);
    proxy.onRequest(({ method }) => (method === "HEAD" ? { hide: ["content-length"] } : undefined));
    expect(await resolve()).toBe(manifestDigest);
    proxy.onRequest(({ method }) => (method === "GET" ? { flipAt: 5 } : { hide: ["docker-content-digest"] }));
    await expect(direct.resolve(ctx, `${proxy.host}/test/image@${manifestDigest}`)).rejects.toMatchObject({
      kind: "failed-precondition",
    });
  });

  it("resolves and fetches the digest of a blob", async () => {
    const reference = `${proxy.host}/test/blobs@${small.descriptor.digest}`;
    const { target } = await direct.resolve(ctx, reference);
    expect(target).toMatchObject({ digest: small.descriptor.digest, size: small.descriptor.size });
    expect((await readAll(await (await direct.fetcher(ctx, reference)).fetch(ctx, target))).length).toBe(5 << 20);
  });

  it("sends encoded what was not asked for encoded: one clear error", async () => {
    const server = createServer((_request, response) => {
      response.writeHead(200, { "content-encoding": "gzip" }).end("x");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
      const fetcher = await direct.fetcher(ctx, `${host}/test/blobs:1`);
      await expect(fetcher.fetch(ctx, small.descriptor)).rejects.toThrow("as gzip, which was not asked for");
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it("leaves no connection behind when a consumer leaves a large blob early", async () => {
    const own = createRegistryResolver({
      hosts: registryHosts({ defaultScheme: "http" }),
      parallelMinimum: 12 << 20,
    });
    const sockets = () => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;
    const before = sockets();
    let opened = 0;
    proxy.onRequest(blobs(() => (opened++ > 0 ? { stallAfter: 100 } : undefined)));
    const fetcher = await own.fetcher(ctx, `${proxy.host}/test/blobs:1`);
    for await (const _chunk of await fetcher.fetch(ctx, large.descriptor)) {
      await expect.poll(() => opened).toBeGreaterThan(2);
      break;
    }
    await expect.poll(sockets).toBeLessThanOrEqual(before + 2);
  });

  it("gives up with one error that names the host, digest and place", async () => {
    proxy.onRequest(blobs(() => ({ truncateAfter: 0 })));
    await expect(fetch(small.descriptor)).rejects.toMatchObject({
      kind: "unavailable",
      message: expect.stringContaining(small.descriptor.digest),
    });
    proxy.onRequest(blobs(() => ({ status: 500 })));
    await expect(fetch(small.descriptor)).rejects.toThrow(`${proxy.host}: HTTP status 500`);
  });

  it("is left within a second when the caller gives up", async () => {
    proxy.onRequest(blobs(() => ({ stallAfter: 1000 })));
    const abort = new AbortController();
    const fetching = fetch(small.descriptor, abort.signal);
    setTimeout(() => abort.abort(), 200);
    const began = performance.now();
    await expect(fetching).rejects.toThrow();
    expect(performance.now() - began).toBeLessThan(1_000);
  });

  it("refuses content of another size before it is read", async () => {
    const wrong = { ...small.descriptor, size: 17n };
    await expect(fetch(wrong)).rejects.toMatchObject({ kind: "data-loss" });
  });

  const uploading = async (bytes: Buffer, signal?: AbortSignal): Promise<number> => {
    const call = createContext({ namespace: "test", ...(signal === undefined ? {} : { signal }) });
    const pusher = await faulty.pusher(call, `${proxy.host}/test/uploads:1`);
    const writer = await pusher.push(call, descriptorOf(bytes));
    let at = 0;
    try {
      for (; at < bytes.length; at += 1 << 20) await writer.write(bytes.subarray(at, at + (1 << 20)));
      await writer.commit();
      return at;
    } catch (error) {
      throw Object.assign(error as Error, { at });
    } finally {
      await writer.close();
    }
  };

  it("refuses an upload early: the rest is not sent, and the refusal is the error", async () => {
    const bytes = randomBytes(60 << 20);
    const body = JSON.stringify({ errors: [{ code: "DENIED", message: "quota exceeded" }] });
    proxy.onRequest(({ method }) => (method === "PUT" ? { status: 403, body } : undefined));
    const error = await uploading(bytes).catch((thrown: unknown) => thrown as Error);
    expect(error).toMatchObject({ kind: "permission-denied", message: expect.stringContaining("quota exceeded") });
    expect((error as unknown as { at: number }).at).toBeLessThan(bytes.length);
    proxy.onRequest(({ method }) => (method === "POST" ? { status: 503 } : undefined));
    await expect(uploading(randomBytes(10))).rejects.toMatchObject({
      kind: "unavailable",
      message: expect.stringMatching(/start the upload of sha256:.*HTTP status 503/),
    });
    proxy.onRequest(({ method }, count) => (method === "POST" && count === 0 ? { status: 503 } : undefined));
    await uploading(randomBytes(10));
    proxy.onRequest(({ method }) => (method === "POST" ? { status: 202, headers: { location: "" } } : undefined));
    await expect(uploading(randomBytes(10))).rejects.toThrow("does not say where to");
  });

  it("that stalls at an upload is left within a second", async () => {
    proxy.onRequest(({ method }) => (method === "PUT" ? { stallAfter: 0 } : undefined));
    const abort = new AbortController();
    const stalled = uploading(randomBytes(3 << 20), abort.signal);
    setTimeout(() => abort.abort(), 300);
    const began = performance.now();
    await expect(stalled).rejects.toThrow();
    expect(performance.now() - began).toBeLessThan(1_300);
  });

  it("redirects the start of an upload to another host, which gets no credentials", async () => {
    const source = () => Promise.resolve({ username: "u", secret: "p" });
    const hosts = registryHosts({ defaultScheme: "http", authorizer: (host) => createAuthorizer(host, source) });
    const second = await startFaultProxy(registry.host);
    try {
      proxy.onRequest(({ method, headers }) => {
        if (headers.authorization === undefined) return { status: 401, headers: { "www-authenticate": "Basic" } };
        return method === "POST" ? { redirectTo: second.url } : undefined;
      });
      await push(createRegistryResolver({ hosts }), `${proxy.host}/test/moved:1`, randomBytes(1000));
      expect(second.requests.map(({ method }) => method)).toContain("POST");
      expect(second.requests.every(({ headers }) => headers.authorization === undefined)).toBe(true);
    } finally {
      await second[Symbol.asyncDispose]();
    }
  });

  it("CVE-2020-15157: sends no credentials to another host", async () => {
    const seen: (string | undefined)[] = [];
    const other = createServer((request, response) => {
      seen.push(request.headers.authorization, request.headers["x-secret"] as string | undefined);
      response.end(small.bytes);
    });
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    try {
      const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
      proxy.onRequest((request) => {
        if (request.headers.authorization === undefined)
          return { status: 401, headers: { "www-authenticate": 'Basic realm="x"' } };
        return request.url.includes("/blobs/") ? { redirectTo: url } : undefined;
      });
      const source = () => Promise.resolve({ username: "u", secret: "p" });
      const hosts = registryHosts({ defaultScheme: "http", authorizer: (host) => createAuthorizer(host, source) });
      const fetcher = await createRegistryResolver({ hosts }).fetcher(ctx, `${proxy.host}/test/blobs:1`);
      expect((await readAll(await fetcher.fetch(ctx, small.descriptor))).equals(small.bytes)).toBe(true);
      const foreign = { ...small.descriptor, urls: [`${url}/layer`] };
      expect((await readAll(await fetcher.fetch(ctx, foreign))).equals(small.bytes)).toBe(true);
      expect(seen).toEqual([undefined, undefined, undefined, undefined]);
      expect(proxy.requests.at(-1)?.headers.authorization).toBe(`Basic ${Buffer.from("u:p").toString("base64")}`);
    } finally {
      other.closeAllConnections();
      await new Promise((resolve) => other.close(resolve));
    }
  });
});
