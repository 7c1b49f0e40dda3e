// The Transfer service of a real daemon, over its socket, as a client of containerd 2.x uses it.
import { createReadStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { StreamInit, StreamingDefinition } from "@ctrd/api/services/streaming/v1/streaming";
import { TransferDefinition } from "@ctrd/api/services/transfer/v1/transfer";
import { ImageStore } from "@ctrd/api/types/transfer/imagestore";
import { ImageExportStream, ImageImportStream } from "@ctrd/api/types/transfer/importexport";
import { Progress } from "@ctrd/api/types/transfer/progress";
import { AuthRequest, AuthResponse, AuthType, OCIRegistry } from "@ctrd/api/types/transfer/registry";
import { Data, WindowUpdate } from "@ctrd/api/types/transfer/streaming";
import { createContext } from "@ctrd/core/context";
import type { Any } from "@ctrd/core/records";
import { protoAny } from "@ctrd/core/typeurl";
import type { RpcChannel } from "@ctrd/services";
import { openChannel, proxyContentStore, proxyImages, proxyLeases } from "@ctrd/services";
import type { FaultProxy, TempDir, TestDaemon, TestRegistry } from "@ctrd/testkit/fixtures";
import {
  buildImage,
  buildIndex,
  hostPlatform,
  layeredImage,
  pushImage,
  startCtrd,
  startFaultProxy,
  startRegistry,
  tempDir,
  writeDockerArchive,
  writeOciArchive,
} from "@ctrd/testkit/fixtures";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

const ctx = createContext({ namespace: "default" });
let registry: TestRegistry;
let proxy: FaultProxy;
let daemon: TestDaemon;
let channel: RpcChannel;
let directory: TempDir;

beforeAll(async () => {
  directory = await tempDir("transfer-");
  registry = await startRegistry();
  proxy = await startFaultProxy(registry.host);
  daemon = await startCtrd();
  channel = openChannel(daemon.address);
});
afterEach(() => proxy.onRequest(() => undefined));
afterAll(async () => {
  channel?.close();
  await daemon?.[Symbol.asyncDispose]();
  await proxy?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  await directory?.[Symbol.asyncDispose]();
});

let ids = 0;
async function openStream(kind: string) {
  const id = `${kind}-${ids++}`;
  const call = channel.client(StreamingDefinition).stream(ctx);
  await call.send(protoAny("containerd.services.streaming.v1.StreamInit", StreamInit.encode({ id }).finish()));
  await call.receive();
  return { id, call };
}

/** Runs a transfer; returns what it reported. */
async function transfer(source: Any, destination: Any, signal?: AbortSignal): Promise<Progress[]> {
  const { id, call } = await openStream("progress");
  const events: Progress[] = [];
  const reading = (async () => {
    for (let one = await call.receive(); one !== undefined; one = await call.receive()) {
      events.push(Progress.decode(one.value));
    }
  })();
  const inner = createContext({ namespace: "default", ...(signal === undefined ? {} : { signal }) });
  try {
    await channel.client(TransferDefinition).transfer(inner, { source, destination, options: { progressStream: id } });
  } finally {
    await reading;
  }
  return events;
}

const any = (name: string, value: Uint8Array): Any => protoAny(`containerd.types.transfer.${name}`, value);
const fromRegistry = (reference: string, more: Partial<OCIRegistry["resolver"]> = {}): Any =>
  any(
    "OCIRegistry",
    OCIRegistry.encode(OCIRegistry.create({ reference, resolver: { defaultScheme: "http", ...more } })).finish(),
  );
const store = (more: Parameters<typeof ImageStore.create>[0]): Any =>
  any("ImageStore", ImageStore.encode(ImageStore.create(more)).finish());
const platform = { os: "linux", architecture: hostPlatform().architecture, variant: "", osVersion: "" };
const unpacked = (name: string) =>
  store({ name, manifestLimit: 1, platforms: [platform], unpacks: [{ platform, snapshotter: "overlayfs" }] });

/** Sends a file on a stream, as the credit allows. */
async function sendFile(file: string, call: Awaited<ReturnType<typeof openStream>>["call"]): Promise<void> {
  let credit = 0;
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    for (let at = 0; at < chunk.length;) {
      while (credit === 0) credit += WindowUpdate.decode((await call.receive())?.value ?? new Uint8Array()).update;
      const data = chunk.subarray(at, at + Math.min(credit, 32 << 10));
      await call.send(any("Data", Data.encode({ data }).finish()));
      at += data.length;
      credit -= data.length;
    }
  }
  call.end();
}

async function importFile(file: string, destination: Any, forceCompress = false): Promise<Progress[]> {
  const { id, call } = await openStream("import");
  const source = any(
    "ImageImportStream",
    ImageImportStream.encode({ stream: id, mediaType: "", forceCompress }).finish(),
  );
  const sending = sendFile(file, call).catch(() => {});
  try {
    return await transfer(source, destination);
  } finally {
    await sending;
  }
}
const images = async (): Promise<string[]> => (await proxyImages(channel).list(ctx, [])).map(({ name }) => name);
const reference = (
  name: string,
  more: Partial<ImageStore["extraReferences"][number]> = {},
): ImageStore["extraReferences"][number] => ({
  name,
  isPrefix: true,
  allowOverwrite: false,
  addDigest: false,
  skipNamedDigest: false,
  ...more,
});

describe("a pull", () => {
  it("reports as the table of the contract has it", async () => {
    const image = await layeredImage(2);
    const name = await pushImage(registry, "transfer/order", "1", image);
    const events = await transfer(fromRegistry(name), unpacked(name));
    const where = `OCI Registry (${name})`;
    const sentences = events.filter(({ parents, event }) => parents.length === 0 && event !== "already exists");
    expect(sentences.map(({ event }) => event)).toEqual([
      `Resolving from ${where}`,
      `Pulling from ${where}`,
      "fetching image content",
      "saved",
      `Completed pull from ${where}`,
    ]);
    expect(sentences[2]).toMatchObject({ name, desc: { digest: image.root.descriptor.digest } });
    expect(sentences[3]).toMatchObject({ name, desc: { digest: image.root.descriptor.digest } });
    const manifest = `manifest-${image.root.descriptor.digest}`;
    const of = (content: string) => events.filter((event) => event.name === content);
    expect(of(manifest).map(({ event }) => event)).toEqual(["waiting", "complete"]);
    expect(of(manifest)[0]).toMatchObject({ progress: 0n, total: BigInt(image.root.descriptor.size), parents: [name] });
    for (const { descriptor } of image.layers) {
      const about = of(`layer-${descriptor.digest}`);
      const kinds = [...new Set(about.map(({ event }) => event))];
      expect(kinds.filter((kind) => !["downloading", "extracting"].includes(kind))).toEqual([
        "waiting",
        "complete",
        "extracted",
      ]);
      expect(about.every(({ parents }) => parents.join() === manifest)).toBe(true);
      expect(about.at(-1)).toMatchObject({ event: "extracted", progress: BigInt(descriptor.size) });
    }
    const again = await transfer(fromRegistry(name), unpacked(name));
    expect(again.filter((event) => event.name === manifest)).toMatchObject([{ event: "already exists", parents: [] }]);
  });

  it("takes all platforms when none is named, metadata of all, and unpacks where it is told", async () => {
    const image = (architecture: string) =>
      buildImage({
        layers: [{ entries: [{ path: "p", data: `transfer ${architecture}` }] }],
        platform: { os: "linux", architecture },
      });
    const [mine, other] = [await image(platform.architecture), await image("s390x")];
    const name = await pushImage(registry, "transfer/platforms", "1", buildIndex([mine, other]));
    const content = proxyContentStore(channel);
    const layer = other.layers[0]?.descriptor.digest ?? "";
    await transfer(fromRegistry(name), store({ name, platforms: [platform], allMetadata: true }));
    await content.info(ctx, other.config.descriptor.digest);
    await expect(content.info(ctx, layer)).rejects.toMatchObject({ kind: "not-found" });
    const unpacks = [
      { platform, snapshotter: "overlayfs" },
      { platform, snapshotter: "native" },
    ];
    await transfer(fromRegistry(name), store({ name, unpacks }));
    await content.info(ctx, layer);
    for (const { snapshotter } of unpacks) {
      const snapshots = (await daemon.ctr(["snapshots", "--snapshotter", snapshotter, "ls"])).stdout;
      expect(snapshots).toContain(mine.layers[0]?.diffId);
      expect(snapshots).not.toContain(other.layers[0]?.diffId);
    }
    const nowhere = { ...platform, architecture: "riscv64" };
    await expect(
      transfer(fromRegistry(name), store({ name, platforms: [nowhere], manifestLimit: 1 })),
    ).rejects.toMatchObject({
      kind: "not-found",
    });
  });

  it("gives further names, which live as long as the main one", async () => {
    const name = await pushImage(registry, "transfer/named", "1", await layeredImage(1));
    const extraReferences = [
      reference("example.com/further:1", { isPrefix: false }),
      reference("example.com/digested", { isPrefix: false, addDigest: true }),
    ];
    await transfer(fromRegistry(name), store({ name, extraReferences }));
    const further = await proxyImages(channel).get(ctx, "example.com/further:1");
    expect(further.labels.get("containerd.io/gc.bref.image")).toBe(name);
    expect(await images()).toContain(`example.com/digested@${further.target?.digest}`);
    await expect(transfer(fromRegistry(name), store({}))).rejects.toThrow("no name for the image");
  });

  it("asks the client for credentials, once for basic authorization, and is left while it waits", async () => {
    const name = (await pushImage(registry, "transfer/asked", "1", await layeredImage(1))).replace(
      registry.host,
      proxy.host,
    );
    const wanted = `Basic ${Buffer.from("u:p").toString("base64")}`;
    proxy.onRequest(({ headers }) =>
      headers.authorization === wanted ? undefined : { status: 401, headers: { "www-authenticate": "Basic realm=x" } },
    );
    const auth = await openStream("creds");
    const pulling = transfer(fromRegistry(name, { authStream: auth.id }), store({ name }));
    const question = AuthRequest.decode((await auth.call.receive())?.value ?? new Uint8Array());
    expect(question).toMatchObject({ host: proxy.host, reference: name });
    const answer = AuthResponse.create({ authType: AuthType.CREDENTIALS, username: "u", secret: "p" });
    await auth.call.send(any("AuthResponse", AuthResponse.encode(answer).finish()));
    await pulling;
    const silent = await openStream("creds");
    const abort = new AbortController();
    const waiting = transfer(fromRegistry(name, { authStream: silent.id }), store({ name }), abort.signal);
    await silent.call.receive();
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ kind: "canceled" });
    // The daemon's side ends as well.
    await expect.poll(async () => (await proxyLeases(channel).list(ctx, [])).length, { timeout: 1_000 }).toBe(0);
  });

  it("is left within a second by a client that goes, and the daemon stops fetching", async () => {
    const image = await buildImage({ layers: [{ entries: [{ path: "l", data: "left" }] }] });
    const name = (await pushImage(registry, "transfer/left", "1", image)).replace(registry.host, proxy.host);
    proxy.onRequest(({ url }) => (url.includes("/blobs/") ? { stallAfter: 10 } : undefined));
    const abort = new AbortController();
    const pulling = transfer(fromRegistry(name), store({ name }), abort.signal);
    setTimeout(() => abort.abort(), 400);
    await expect(pulling).rejects.toMatchObject({ kind: "canceled" });
    await expect.poll(async () => (await proxyLeases(channel).list(ctx, [])).length, { timeout: 1_000 }).toBe(0);
  });
});

describe("a push", () => {
  it("reports, and tags only what is pushed itself", async () => {
    const image = (architecture: string) =>
      buildImage({
        layers: [{ entries: [{ path: "p", data: `push ${architecture}` }] }],
        platform: { os: "linux", architecture },
      });
    const index = buildIndex([await image("amd64"), await image("arm64")]);
    const name = await pushImage(registry, "transfer/source", "1", index);
    await transfer(fromRegistry(name), store({ name }));
    const target = `${proxy.host}/transfer/target:1`;
    const before = proxy.requests.length;
    const events = await transfer(store({ name }), fromRegistry(target));
    const where = `OCI Registry (${target})`;
    const sentences = events.filter(({ parents, event }) => parents.length === 0 && event !== "already exists");
    expect(sentences.map(({ event }) => event)).toEqual([
      `Pushing to ${where}`,
      "pushing content",
      "pushed content",
      `Completed push to ${where}`,
    ]);
    expect(sentences.at(-1)?.desc?.digest).toBe(index.root.descriptor.digest);
    const puts = proxy.requests
      .slice(before)
      .filter(({ method, url }) => method === "PUT" && url.includes("/manifests/"));
    expect(puts.filter(({ url }) => url.endsWith("/manifests/1")).length).toBe(1);
    expect(puts.length).toBe(3);
  });
});

describe("an import", () => {
  const archive = async (file: string, refName: string, containerdName?: string): Promise<string> => {
    const image = await buildImage({ layers: [{ entries: [{ path: "i", data: file }] }] });
    const named = { image, refName, ...(containerdName === undefined ? {} : { containerdName }) };
    await writeOciArchive(join(directory.path, file), [named]);
    return image.root.descriptor.digest;
  };
  const add = async (file: string, destination: Any): Promise<[names: string[], events: Progress[]]> => {
    const before = new Set(await images());
    const events = await importFile(join(directory.path, file), destination);
    return [(await images()).filter((name) => !before.has(name)), events];
  };

  it("gives names by prefix", async () => {
    const digest = await archive("tag.tar", "v1");
    const prefix = "example.com/prefixed";
    expect((await add("tag.tar", store({ extraReferences: [reference(prefix)] })))[0]).toEqual([`${prefix}:v1`]);
    const digested = store({
      extraReferences: [reference("example.com/d", { addDigest: true, skipNamedDigest: true })],
    });
    expect((await add("tag.tar", digested))[0]).toEqual(["example.com/d:v1"]);
    const both = store({ extraReferences: [reference("example.com/e", { addDigest: true })] });
    expect((await add("tag.tar", both))[0]).toEqual(["example.com/e:v1", `example.com/e@${digest}`]);
  });

  it("keeps full names that fit the prefix, or any with overwrite", async () => {
    await archive("full.tar", "v1", "example.com/full/x:v1");
    const none = store({ extraReferences: [reference("example.com/fu")] });
    const [names, events] = await add("full.tar", none);
    expect(names).toEqual([]);
    expect(events.map(({ event }) => event)).toEqual(["Importing", "Completed import"]);
    const fits = store({ extraReferences: [reference("example.com/full")] });
    expect((await add("full.tar", fits))[0]).toEqual(["example.com/full/x:v1"]);
    await archive("other.tar", "v1", "example.com/elsewhere:v1");
    const any = store({ extraReferences: [reference("example.com/full", { allowOverwrite: true })] });
    expect((await add("other.tar", any))[0]).toEqual(["example.com/elsewhere:v1"]);
  });

  it("gives the whole the store's name, unpacks it, and reports no contents", async () => {
    await archive("whole.tar", "v1");
    const name = "example.com/whole:1";
    const extraReferences = [reference("example.com/whole/part")];
    const unpacks = [{ platform, snapshotter: "overlayfs" }];
    const [names, events] = await add("whole.tar", store({ name, extraReferences, unpacks }));
    expect(names).toEqual(["example.com/whole/part:v1", name]);
    expect(events.map(({ event }) => event)).toEqual(["Importing", "saved", "saved", "Completed import"]);
    const part = await proxyImages(channel).get(ctx, "example.com/whole/part:v1");
    expect(part.labels.get("containerd.io/gc.bref.image")).toBe(name);
  });

  it("compresses layers on request", async () => {
    const image = await buildImage({ layers: [{ entries: [{ path: "i", data: "docker" }] }], compression: "none" });
    const file = join(directory.path, "docker.tar");
    await writeDockerArchive(file, [{ image, repoTags: ["example.com/docker:1"] }]);
    await importFile(file, store({ extraReferences: [reference("example.com/docker")] }), true);
    const listed = await daemon.ctr(["content", "ls"]);
    expect(listed.stdout).toContain(`containerd.io/uncompressed=${image.layers[0]?.diffId}`);
  });
});

describe("other transfers", () => {
  it("echo an archive", async () => {
    const file = join(directory.path, "echo.bin");
    await writeFile(file, Buffer.alloc(300_000, "x"));
    const [from, to] = [await openStream("import"), await openStream("export")];
    const sending = sendFile(file, from.call);
    const source = any(
      "ImageImportStream",
      ImageImportStream.encode(ImageImportStream.create({ stream: from.id })).finish(),
    );
    const destination = any(
      "ImageExportStream",
      ImageExportStream.encode(ImageExportStream.create({ stream: to.id })).finish(),
    );
    let received = 0;
    const receiving = (async () => {
      const grant = WindowUpdate.encode({ update: 1 << 20 }).finish();
      await to.call.send(any("WindowUpdate", grant));
      for (let one = await to.call.receive(); one !== undefined; one = await to.call.receive()) {
        received += Data.decode(one.value).data.length;
      }
    })();
    expect(await transfer(source, destination)).toEqual([]);
    await Promise.all([sending, receiving]);
    expect(received).toBe(300_000);
  });

  it("are refused when they make no sense", async () => {
    await expect(transfer(store({}), any("Progress", new Uint8Array()))).rejects.toMatchObject({
      kind: "not-implemented",
    });
    await expect(transfer(any("OCIRegistry", Buffer.from([0xff])), store({}))).rejects.toMatchObject({
      kind: "invalid-argument",
    });
    const prefixed = store({ extraReferences: [reference("example.com/x")] });
    const out = any(
      "ImageExportStream",
      ImageExportStream.encode(ImageExportStream.create({ stream: "none" })).finish(),
    );
    await expect(transfer(prefixed, out)).rejects.toMatchObject({ kind: "not-found" });
  });
});
