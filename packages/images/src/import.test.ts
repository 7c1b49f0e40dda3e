// Archives that are large, wrong, or imported at once; and what skopeo and umoci write and read.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CallContext } from "@ctrd/core/context";
import { withLease } from "@ctrd/core/context";
import type { TarEntry } from "@ctrd/testkit/fixtures";
import {
  buildImage,
  busyboxImage,
  layeredImage,
  mustRun,
  pushImage,
  tarBuffer,
  tarStream,
  writeDockerArchive,
  writeOciArchive,
} from "@ctrd/testkit/fixtures";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { PullSetup } from "../test/pull-setup.ts";
import { setUpPulls } from "../test/pull-setup.ts";
import type { ImportOptions, Index, Manifest } from "./index.ts";
import {
  exportArchive,
  importArchive,
  maxDocumentBytes,
  parseImageDocument,
  pushContent,
  readDocument,
  readRootfs,
} from "./index.ts";

let s: PullSetup;
/** With a lease: what is imported is referenced by nothing yet. */
let ctx: CallContext;
let directory: string;

beforeAll(async () => {
  s = await setUpPulls();
});
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-import-"));
  const { id } = await s.stores.leases.create(s.ctx, { id: "", labels: new Map() });
  ctx = withLease(s.ctx, id);
});
afterEach(async () => {
  await s.stores.leases.delete(s.ctx, ctx.lease ?? "");
  await rm(directory, { recursive: true });
});
afterAll(() => s?.[Symbol.asyncDispose]());

const path = (name: string): string => join(directory, name);
const importTar = (source: AsyncIterable<Uint8Array>, options?: ImportOptions) =>
  importArchive(ctx, s.stores.content, source, options);
async function indexOf(source: AsyncIterable<Uint8Array>, options?: ImportOptions): Promise<Index> {
  const index = await importTar(source, options);
  return parseImageDocument(await readDocument(ctx, s.stores.content, index), index) as Index;
}
async function manifestOf(source: AsyncIterable<Uint8Array>, options?: ImportOptions): Promise<Manifest> {
  const [entry] = (await indexOf(source, options)).manifests;
  if (entry === undefined) throw new Error("the archive holds no manifest");
  return parseImageDocument(await readDocument(ctx, s.stores.content, entry), entry) as Manifest;
}
const layout: TarEntry = { path: "oci-layout", data: '{"imageLayoutVersion":"1.0.0"}' };
const ingests = () => s.stores.content.listStatuses(s.ctx, []);
/** A file of any size that costs no memory. */
const zeros = (size: number) => ({
  size,
  async *chunks() {
    const chunk = Buffer.alloc(1 << 20, " ");
    for (let left = size; left > 0; left -= chunk.length) yield chunk.subarray(0, Math.min(left, chunk.length));
  },
});

describe("CVE-2023-25153: documents of archives are capped", () => {
  it.each(["oci-layout", "manifest.json", "index.json"])("%s", async (name) => {
    const entries: TarEntry[] = name === "index.json" ? [layout] : [];
    const tar = tarStream([...entries, { path: name, data: zeros(21 << 20) }]);
    await expect(importTar(tar)).rejects.toMatchObject({
      kind: "resource-exhausted",
      message: expect.stringContaining(name),
    });
    expect(await ingests()).toEqual([]);
  });

  it("an index, a manifest and a configuration below them", async () => {
    const large = Buffer.alloc(maxDocumentBytes + 1, " ");
    const digest = `sha256:${createHash("sha256").update(large).digest("hex")}`;
    const blob: TarEntry = { path: `blobs/${digest.replace(":", "/")}`, data: large };
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    const descriptor = { mediaType, digest, size: large.length };
    const index = await indexOf(
      tarStream([layout, { path: "index.json", data: JSON.stringify({ manifests: [descriptor] }) }, blob]),
    );
    const [entry] = index.manifests;
    if (entry === undefined) throw new Error("no entry");
    const tooLarge = { kind: "resource-exhausted", message: expect.stringContaining(digest) };
    await expect(readDocument(ctx, s.stores.content, entry)).rejects.toMatchObject(tooLarge);
    await expect(readRootfs(ctx, s.stores.content, entry)).rejects.toMatchObject(tooLarge);
    await expect(indexOf(tarStream([layout, { path: "index.json", data: large }]))).rejects.toMatchObject({
      kind: "resource-exhausted",
    });
    const docker = [{ Config: blob.path, RepoTags: [], Layers: [] }];
    await expect(
      importTar(tarStream([blob, { path: "manifest.json", data: JSON.stringify(docker) }])),
    ).rejects.toMatchObject(tooLarge);
  });
});

describe("archives that are wrong", () => {
  it.each<[string, TarEntry[], RegExp]>([
    ["a layout of another version", [{ path: "oci-layout", data: '{"imageLayoutVersion":"2"}' }], /version "2"/],
    ["a layout without index", [layout], /no index\.json/],
    ["a layout that is no JSON", [{ path: "oci-layout", data: "{" }], /oci-layout is not JSON/],
    ["a manifest.json that is no list", [{ path: "manifest.json", data: "{}" }], /not a list/],
    ["an image without Config", [{ path: "manifest.json", data: '[{"Layers":[]}]' }], /no Config/],
    [
      "a name out of the archive",
      [{ path: "manifest.json", data: '[{"Config":"../../etc/passwd"}]' }],
      /not in the archive/,
    ],
    [
      "links in a circle",
      [
        { path: "a", type: "symlink", linkname: "b" },
        { path: "b", type: "symlink", linkname: "a" },
        { path: "manifest.json", data: '[{"Config":"a"}]' },
      ],
      /names "a", which is not in the archive/,
    ],
    [
      "a key of an object's prototype",
      [{ path: "manifest.json", data: '[{"Config":"__proto__"}]' }],
      /not in the archive/,
    ],
  ])("%s: one clear error, and no ingest is left", async (_name, entries, message) => {
    const importing = importTar(tarStream(entries));
    await expect(importing).rejects.toThrow(message);
    await expect(importing).rejects.toMatchObject({ kind: "invalid-argument" });
    expect(await ingests()).toEqual([]);
  });

  it("cut off in the middle of a blob", async () => {
    const bytes = await tarBuffer([layout, { path: "blobs/sha256/x", data: Buffer.alloc(100_000) }]);
    const cut = async function* (): AsyncGenerator<Buffer> {
      yield bytes.subarray(0, 50_000);
    };
    await expect(importTar(cut())).rejects.toMatchObject({ kind: "invalid-argument" });
    expect(await ingests()).toEqual([]);
  });

  it("with a blob of another algorithm under its name, right and wrong", async () => {
    const data = Buffer.from("named by sha512");
    const hex = createHash("sha512").update(data).digest("hex");
    const index: TarEntry = { path: "index.json", data: '{"manifests":[]}' };
    await importTar(tarStream([layout, index, { path: `blobs/sha512/${hex}`, data }]));
    expect(await s.checkedDigests()).toContain(`sha512:${hex}`);
    const wrong = tarStream([
      layout,
      index,
      { path: `blobs/sha512/${hex.replace(/^./, (c) => (c === "0" ? "1" : "0"))}`, data },
    ]);
    await expect(importTar(wrong)).rejects.toThrow("the archive is damaged");
    expect(await ingests()).toEqual([]);
  });

  it("left by its reader within a second", async () => {
    const abort = new AbortController();
    const bytes = await tarBuffer([layout, { path: "blobs/sha256/x", data: Buffer.alloc(100_000) }]);
    const slow = async function* (): AsyncGenerator<Buffer> {
      yield bytes.subarray(0, 50_000);
      abort.abort();
      yield bytes.subarray(50_000);
    };
    const call = { ...ctx, signal: abort.signal };
    await expect(importArchive(call, s.stores.content, slow())).rejects.toMatchObject({ name: "AbortError" });
    expect(await ingests()).toEqual([]);
  });
});

it("imports at once do not hinder each other", async () => {
  const files = await Promise.all(
    Array.from({ length: 4 }, async (_, i) => {
      const image = await buildImage({ layers: [{ entries: [{ path: "a", data: `import ${i}` }] }] });
      await writeOciArchive(path(`${i}.tar`), [{ image, refName: "1", containerdName: `example.com/${i}:1` }]);
      return image.root.descriptor.digest;
    }),
  );
  const imported = await Promise.all(files.map((_, i) => indexOf(createReadStream(path(`${i}.tar`)))));
  expect(imported.map(({ manifests }) => manifests[0]?.digest)).toEqual(files);
});

describe("layers of Docker archives", () => {
  const plainImage = (data: string) =>
    buildImage({ layers: [{ entries: [{ path: "l", data }] }], compression: "none" });

  it("are compressed on request, and then found again in their compressed form", async () => {
    const image = await plainImage("to be compressed");
    await writeDockerArchive(path("d.tar"), [{ image, repoTags: ["a:1"] }]);
    const packed = await manifestOf(createReadStream(path("d.tar")), { compressLayers: true });
    expect(packed.layers[0]?.mediaType).toBe("application/vnd.docker.image.rootfs.diff.tar.gzip");
    const { labels } = await s.stores.content.info(ctx, packed.layers[0]?.digest ?? "");
    expect(labels.get("containerd.io/uncompressed")).toBe(image.layers[0]?.diffId);
    const again = await manifestOf(createReadStream(path("d.tar")));
    expect(again.layers).toEqual(packed.layers);
    await s.checkedDigests();
  });

  it("stay as they are otherwise", async () => {
    const image = await plainImage("not compressed");
    await writeDockerArchive(path("d.tar"), [{ image, repoTags: ["a:1"] }]);
    const manifest = await manifestOf(createReadStream(path("d.tar")));
    expect(manifest.layers[0]).toMatchObject({
      digest: image.layers[0]?.diffId,
      mediaType: "application/vnd.docker.image.rootfs.diff.tar",
    });
  });
});

describe("skopeo and umoci", () => {
  it("write what we import, and what we pull after they pushed it", async () => {
    const image = await busyboxImage();
    await pushImage(s.registry, "interop/source", "1", image);
    const source = `docker://${s.registry.host}/interop/source:1`;
    const from = ["copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", source];
    await mustRun("skopeo", [...from, `oci-archive:${path("oci.tar")}:example.com/a:1`]);
    await mustRun("skopeo", [...from, `docker-archive:${path("docker.tar")}:example.com/a:1`]);
    const oci = await indexOf(createReadStream(path("oci.tar")));
    expect(oci.manifests.map(({ digest }) => digest)).toEqual([image.root.descriptor.digest]);
    const docker = await manifestOf(createReadStream(path("docker.tar")));
    expect(docker.layers.length).toBe(image.layers.length);
    for (const format of ["oci", "v2s2"]) {
      const pushed = `${s.registry.host}/interop/${format}:1`;
      await mustRun("skopeo", [...from, "--format", format, `docker://${pushed}`]);
      await s.pull(pushed);
      const ran = await s.daemon.ctr(["run", "--rm", pushed, `interop-${format}`, "echo", format]);
      expect(ran).toMatchObject({ exitCode: 0, stdout: `${format}\n` });
    }
    // An image that umoci has added a layer to.
    await mustRun("skopeo", [...from, `oci:${path("layout")}:1`]);
    await writeFile(path("added"), "by umoci\n");
    await mustRun("umoci", ["insert", "--rootless", "--image", `${path("layout")}:1`, path("added"), "/added"]);
    await mustRun("umoci", ["gc", "--layout", path("layout")]);
    const changed = `${s.registry.host}/interop/umoci:1`;
    await mustRun("skopeo", [
      "copy",
      "-q",
      "--dest-tls-verify=false",
      `oci:${path("layout")}:1`,
      `docker://${changed}`,
    ]);
    await s.pull(changed);
    const ran = await s.daemon.ctr(["run", "--rm", changed, "interop-umoci", "cat", "/added"]);
    expect(ran).toMatchObject({ exitCode: 0, stdout: "by umoci\n" });
    await mustRun("tar", ["-C", path("layout"), "-cf", path("layout.tar"), "."]);
    expect((await manifestOf(createReadStream(path("layout.tar")))).layers.length).toBe(image.layers.length + 1);
  });

  it("read what we push and export, and ctr what we export", async () => {
    const image = await busyboxImage();
    await pushImage(s.registry, "interop/pulled", "1", image);
    const { target } = await s.pull(`${s.registry.host}/interop/pulled:1`);
    if (target === undefined) throw new Error("the image points at nothing");
    const reference = `${s.registry.host}/interop/ours:1`;
    const pusher = await s.resolver.pusher(s.ctx, `${reference}@${target.digest}`);
    await pushContent(s.ctx, target, { content: s.stores.content, pusher });
    await mustRun("skopeo", ["copy", "-q", "--src-tls-verify=false", `docker://${reference}`, `oci:${path("ours")}:1`]);
    const unpacked = ["unpack", "--rootless", "--image", `${path("ours")}:1`, path("bundle")];
    await mustRun("umoci", unpacked);
    await mustRun(path("bundle/rootfs/bin/busybox"), ["true"]);
    const name = "example.com/interop:1";
    const pieces: Buffer[] = [];
    for await (const piece of exportArchive(s.ctx, {
      content: s.stores.content,
      images: [{ target, names: [name] }],
    })) {
      pieces.push(piece);
    }
    await writeFile(path("out.tar"), Buffer.concat(pieces));
    for (const kind of ["oci-archive", "docker-archive"]) {
      await mustRun("skopeo", ["copy", "-q", `${kind}:${path("out.tar")}`, `oci:${path(kind)}:1`]);
      await mustRun("umoci", ["stat", "--image", `${path(kind)}:1`]);
    }
    const imported = await s.daemon.ctr(["images", "import", "--base-name", "example.com/interop", path("out.tar")]);
    expect(imported).toMatchObject({ exitCode: 0 });
    // And back from ctr.
    expect(await s.daemon.ctr(["images", "export", path("ctr.tar"), name])).toMatchObject({ exitCode: 0 });
    expect((await indexOf(createReadStream(path("ctr.tar")))).manifests[0]?.digest).toBe(target.digest);
  });

  it("read archives of many images that share layers", async () => {
    const images = [await layeredImage(1), await layeredImage(2)];
    const named = images.map((image, i) => ({ image, refName: `${i}`, containerdName: `example.com/many:${i}` }));
    await writeOciArchive(path("many.tar"), named);
    const { manifests } = await indexOf(createReadStream(path("many.tar")));
    const list = manifests.map((target, i) => ({ target, names: [`example.com/many:${i}`] }));
    const pieces: Buffer[] = [];
    for await (const piece of exportArchive(ctx, { content: s.stores.content, images: list })) pieces.push(piece);
    await writeFile(path("again.tar"), Buffer.concat(pieces));
    for (const i of [0, 1]) {
      const copied = [
        "copy",
        "-q",
        `docker-archive:${path("again.tar")}:example.com/many:${i}`,
        `dir:${path(`d${i}`)}`,
      ];
      await mustRun("skopeo", copied);
    }
  });
});
