// Archives between us and the real tools that read and write them.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createReadStream } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CallContext } from "@ctrd/core/context";
import { createContext, withLease } from "@ctrd/core/context";
import type { ContentStore } from "@ctrd/core/content";
import { openChannel, proxyContentStore, proxyLeases } from "@ctrd/services";
import type { RpcChannel } from "@ctrd/services";
import type { TestDaemon } from "@ctrd/testkit/fixtures";
import {
  buildImage,
  busyboxImage,
  layeredImage,
  mustRun,
  runCommand,
  startCtrd,
  writeDockerArchive,
  writeOciArchive,
} from "@ctrd/testkit/fixtures";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { exportArchive, importArchive, parseImageDocument, readDocument } from "./index.ts";
import type { Index } from "./index.ts";

/** With a lease: what is imported is referenced by nothing yet. */
let ctx: CallContext;
let daemon: TestDaemon;
let channel: RpcChannel;
let content: ContentStore;
let directory: string;

beforeAll(async () => {
  daemon = await startCtrd();
  channel = openChannel(daemon.address);
  content = proxyContentStore(channel);
  const plain = createContext({ namespace: "default" });
  const { id } = await proxyLeases(channel).create(plain, { id: "", labels: new Map() });
  ctx = withLease(plain, id);
});
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-archive-"));
});
afterEach(() => rm(directory, { recursive: true }));
afterAll(async () => {
  channel?.close();
  await daemon?.[Symbol.asyncDispose]();
});

const path = (name: string): string => join(directory, name);
async function indexOf(archive: string): Promise<Index> {
  const index = await importArchive(ctx, content, createReadStream(archive));
  return parseImageDocument(await readDocument(ctx, content, index), index) as Index;
}

describe("importArchive", () => {
  it("reads an OCI layout and a Docker archive", async () => {
    const image = await layeredImage(3);
    await writeOciArchive(path("oci.tar"), [{ image, refName: "1", containerdName: "example.com/a:1" }]);
    const oci = await indexOf(path("oci.tar"));
    expect(oci.manifests.map(({ digest }) => digest)).toEqual([image.root.descriptor.digest]);
    const plain = await buildImage({
      layers: [{ entries: [{ path: "a", data: "b" }] }],
      compression: "none",
    });
    await writeDockerArchive(path("docker.tar"), [{ image: plain, repoTags: ["a:1"] }]);
    const docker = await indexOf(path("docker.tar"));
    expect(docker.manifests[0]?.annotations.get("io.containerd.image.name")).toBe("docker.io/library/a:1");
    expect(docker.manifests[0]?.platform).toMatchObject({ os: "linux" });
  });

  it("refuses a damaged blob, something else, and no tar, each with one clear error", async () => {
    const image = await layeredImage(1);
    await writeOciArchive(path("oci.tar"), [{ image, refName: "1", containerdName: "example.com/a:1" }]);
    const bytes = await readFile(path("oci.tar"));
    const at = bytes.indexOf('"rootfs"');
    bytes[at + 1] = "R".charCodeAt(0);
    await writeFile(path("damaged.tar"), bytes);
    await expect(indexOf(path("damaged.tar"))).rejects.toThrow("the archive is damaged");
    await writeFile(path("x"), "hello");
    await mustRun("tar", ["-C", directory, "-cf", path("other.tar"), "x"]);
    await expect(indexOf(path("other.tar"))).rejects.toThrow("unrecognized image format");
    await expect(indexOf(path("x"))).rejects.toMatchObject({ kind: "invalid-argument" });
  });
});

describe("exportArchive", () => {
  it("is read by skopeo, by ctr and by ourselves", async () => {
    const image = await busyboxImage();
    const name = "example.com/exported:1";
    await writeOciArchive(path("in.tar"), [{ image, refName: "1", containerdName: name }]);
    await importArchive(ctx, content, createReadStream(path("in.tar")));
    const { mediaType, digest, size } = image.root.descriptor;
    const target = { mediaType, digest, size: BigInt(size), annotations: new Map<string, string>() };
    const pieces: Buffer[] = [];
    for await (const piece of exportArchive(ctx, { content, images: [{ target, names: [name] }] })) pieces.push(piece);
    await writeFile(path("out.tar"), Buffer.concat(pieces));
    const inspected = await runCommand("skopeo", ["inspect", "--raw", `oci-archive:${path("out.tar")}`]);
    expect(inspected.stdout).toContain(image.layers[0]?.descriptor.digest);
    await mustRun("skopeo", ["inspect", "--config", `docker-archive:${path("out.tar")}`]);
    const imported = await daemon.ctr(["images", "import", path("out.tar")]);
    expect(imported).toMatchObject({ exitCode: 0 });
    expect((await daemon.ctr(["run", "--rm", name, "exported", "echo", "works"])).stdout).toBe("works\n");
    expect((await indexOf(path("out.tar"))).manifests[0]?.digest).toBe(digest);
  });
});
