// Images between real registries, archives and daemons.
import { createReadStream } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { createGzip } from "node:zlib";
import { Readable } from "node:stream";
import type { TransferProgress } from "@ctrd/core/remotes";
import type { ImageHandlerWrapper } from "@ctrd/images";
import { buildImage, buildIndex, busyboxImage, mustRun, pushImage } from "@ctrd/testkit/fixtures";
import { expect, it } from "vitest";
import { forEachDaemon, textOf } from "../test/harness.ts";
import { connect, nullIo } from "./index.ts";

let seed = 0;
/** An image that shares nothing with another. */
const ownImage = (architecture?: string, bytes = 50_000) =>
  buildImage({
    layers: [{ manyFiles: { count: 3, totalBytes: bytes, seed: 5_000 + seed, prefix: `own${seed++}` } }],
    config: { Cmd: ["none"], Env: ["A=b"], User: "app:wheel", WorkingDir: "/w", Entrypoint: ["/e"] },
    ...(architecture === undefined ? {} : { platform: { os: "linux", architecture } }),
  });

forEachDaemon("images", (h) => {
  it("pull: record, labels, progress, configuration, unpacked", async () => {
    const { client, registry } = h();
    const built = await ownImage();
    const reference = await pushImage(registry, "test/pull", "1", built);
    const seen: TransferProgress[] = [];
    const image = await client.pull(reference, { labels: { colour: "red" }, progress: (each) => seen.push(each) });
    expect(image.name).toBe(reference);
    expect(image.target).toMatchObject({ digest: built.root.descriptor.digest });
    expect(image.labels.get("colour")).toBe("red");
    const stages = new Set(seen.map(({ stage }) => stage));
    for (const stage of ["resolved", "downloading", "complete", "extracted", "saved"] as const) {
      expect(stages).toContain(stage);
    }
    expect(await image.config()).toEqual({
      env: ["A=b"],
      entrypoint: ["/e"],
      cmd: ["none"],
      workingDir: "/w",
      user: "app:wheel",
    });
    expect(await image.chainId()).toBe(built.layers[0]?.diffId);
    expect(await image.isUnpacked()).toBe(true);
    const content = built.blobs.reduce((sum, { descriptor }) => sum + BigInt(descriptor.size), 0n);
    const all = content + BigInt(built.root.descriptor.size);
    expect(await image.usage()).toBe(all);
    expect(await image.usage({ snapshotter: "overlayfs" })).toBeGreaterThan(all);
    const again: TransferProgress[] = [];
    await client.pull(reference, { progress: (each) => again.push(each) });
    expect(again.map(({ stage }) => stage)).not.toContain("downloading");
    await image.delete({ sync: true });
    await expect(client.getImage(reference)).rejects.toMatchObject({ kind: "not-found" });
    await expect(client.content.info(client.context(), built.root.descriptor.digest)).rejects.toMatchObject({
      kind: "not-found",
    });
  });

  it("pull: platforms of an index, and unpacking later", async () => {
    const { client, registry } = h();
    const builds = [await ownImage("amd64"), await ownImage("riscv64"), await ownImage("s390x")];
    const index = buildIndex(builds);
    const reference = await pushImage(registry, "test/index", "1", index);
    const has = async (digest: string): Promise<boolean> =>
      (await Array.fromAsync(client.content.list(client.context(), [`digest==${digest}`]))).length === 1;
    const manifests = builds.map(({ root }) => root.descriptor.digest);

    const image = await client.pull(reference, { platform: "linux/riscv64", unpack: false });
    expect(await Promise.all(manifests.map(has))).toEqual([false, true, false]);
    expect(await image.isUnpacked({ platform: "linux/riscv64" })).toBe(false);
    await expect(image.manifest({ platform: "linux/s390x" })).rejects.toMatchObject({ kind: "not-found" });
    expect(await image.unpack({ platform: "linux/riscv64" })).toBe(builds[1]?.layers[0]?.diffId);
    expect(await image.isUnpacked({ platform: "linux/riscv64" })).toBe(true);

    await using s390x = await connect(h().daemon.address, { platform: "linux/s390x", resolver: h().resolver });
    expect(await (await s390x.pull(reference)).isUnpacked()).toBe(true);
    expect(await Promise.all(manifests.map(has))).toEqual([false, true, true]);
    await client.pull(reference, { platform: "all", unpack: false });
    expect(await Promise.all(manifests.map(has))).toEqual([true, true, true]);
    await expect(client.pull(reference, { platform: "linux/nothing/v9/9" })).rejects.toMatchObject({
      kind: "invalid-argument",
    });
  });

  it("pull: handlers see every descriptor and may leave some out", async () => {
    const { client, registry } = h();
    const built = await ownImage();
    const reference = await pushImage(registry, "test/handlers", "1", built);
    const handled: string[] = [];
    const wrapper: ImageHandlerWrapper = (inner) => async (ctx, descriptor) => {
      const children = await inner(ctx, descriptor);
      return children.filter(({ digest }) => digest !== built.layers[0]?.descriptor.digest);
    };
    await client.pull(reference, {
      unpack: false,
      imageHandler: async (_ctx, { digest }) => {
        handled.push(digest);
        return [];
      },
      imageHandlerWrapper: wrapper,
    });
    expect(handled.sort()).toEqual([built.root.descriptor.digest, built.config.descriptor.digest].sort());
  });

  it("pull: what fails is an error of a kind, and can be given up", async () => {
    const { client, registry } = h();
    await expect(client.pull(`${registry.host}/test/absent:1`)).rejects.toMatchObject({ kind: "not-found" });
    await expect(client.pull("busybox")).rejects.toMatchObject({ kind: "invalid-argument" });
    const reference = await pushImage(registry, "test/cancel", "1", await ownImage(undefined, 30_000_000));
    const controller = new AbortController();
    const pull = client.pull(reference, {
      signal: controller.signal,
      progress: ({ stage }) => stage === "downloading" && controller.abort(),
    });
    await expect(pull).rejects.toMatchObject({ kind: "canceled" });
    await expect(client.pull(reference, { signal: AbortSignal.timeout(1) })).rejects.toMatchObject({
      kind: "deadline-exceeded",
    });
    expect((await client.pull(reference)).name).toBe(reference);
  });

  it("push: to another name, by tag and by digest, which skopeo reads", async () => {
    const { client, registry, image } = h();
    const target = `${registry.host}/pushed/busybox:2`;
    const stages: string[] = [];
    await client.push(target, image, { progress: ({ stage }) => stages.push(stage) });
    expect(stages.some((stage) => stage === "complete" || stage === "mounted")).toBe(true);
    const inspected = await mustRun("skopeo", ["inspect", "--tls-verify=false", `docker://${target}`]);
    expect(JSON.parse(inspected.stdout)).toMatchObject({ Digest: image.target.digest });
    const byDigest = `${registry.host}/pushed/digest@${image.target.digest}`;
    await client.push(byDigest, image.target);
    const pulled = await client.pull(byDigest, { unpack: false });
    expect(pulled.target.digest).toBe(image.target.digest);
    await pulled.delete();
  });

  it("tag, labels, list with filters", async () => {
    const { client, image } = h();
    const tagged = await image.tag("example.test/tagged:1", { labels: { a: "1", b: "2" } });
    expect(tagged.target.digest).toBe(image.target.digest);
    await tagged.setLabels({ a: "", c: "3" });
    expect(Object.fromEntries((await client.getImage("example.test/tagged:1")).labels)).toEqual({ b: "2", c: "3" });
    expect((await client.listImages(["labels.c==3"])).map(({ name }) => name)).toEqual(["example.test/tagged:1"]);
    const moved = await client.createImage("example.test/tagged:1", { ...image.target, annotations: new Map() });
    expect(moved.labels.get("b")).toBe("2");
    await tagged.delete();
  });

  it("export and import: ctr reads what we write, we read what it writes, plain and compressed", async () => {
    const { client, daemon, image, path } = h();
    const archive = path("exported.tar");
    await writeFile(archive, client.export([image.name, image]));
    const elsewhere = { namespace: "elsewhere" };
    expect(await daemon.ctr(["images", "import", archive], elsewhere)).toMatchObject({ exitCode: 0 });
    expect((await daemon.ctr(["images", "ls", "-q"], elsewhere)).stdout).toBe(`${image.name}\n`);
    const byCtr = path("by-ctr.tar");
    expect(await daemon.ctr(["images", "export", byCtr, image.name], elsewhere)).toMatchObject({ exitCode: 0 });

    const third = client.inNamespace("third");
    for (const source of [createReadStream(byCtr), createReadStream(byCtr).pipe(createGzip())]) {
      const images = await third.import(source, { labels: { from: "archive" } });
      expect(images.map(({ name }) => name)).toEqual([image.name]);
      expect(images[0]?.labels.get("from")).toBe("archive");
      expect(await images[0]?.isUnpacked()).toBe(true);
      await images[0]?.delete({ sync: true });
    }
    expect(await third.listLeases()).toEqual([]);
    const named = await third.import(createReadStream(archive), {
      names: () => ["example.test/own:1", "example.test/own:2"],
      indexName: "example.test/whole:1",
      unpack: false,
    });
    expect(named.map(({ name }) => name)).toEqual(["example.test/own:1", "example.test/own:2", "example.test/whole:1"]);
    await expect(third.import(Readable.from([Buffer.from("no archive at all")]))).rejects.toMatchObject({
      kind: "invalid-argument",
    });
    const absent = third.export(["example.test/absent:1"]);
    await expect(Array.fromAsync(absent)).rejects.toMatchObject({ kind: "not-found" });
    for (const each of await third.listImages()) await each.delete({ sync: true });
  });

  it("an image that is not unpacked yet is, when a container is made of it, also elsewhere", async () => {
    const { client, registry, id } = h();
    const reference = await pushImage(registry, "test/late", "1", await busyboxImage({ applets: "symlink" }));
    const image = await client.pull(reference, { unpack: false });
    for (const snapshotter of ["overlayfs", "native"]) {
      await using container = await client.newContainer(id("late"), { image: image.name, snapshotter });
      expect(container.record).toMatchObject({ image: reference, snapshotter, snapshotKey: container.id });
      expect(await image.isUnpacked({ snapshotter })).toBe(true);
      await using task = await container.newTask();
      await task.start();
      // The image's own command is a shell, whose input is at its end.
      expect(await textOf(task.stdout)).toBe("");
      expect(await task.wait()).toMatchObject({ exitCode: 0 });
    }
    await image.delete();
  });

  it("commit: what a container wrote becomes an image that runs, is pushed, and is read by skopeo", async () => {
    const { client, registry, container, id, image } = h();
    const name = `${registry.host}/test/committed:1`;
    const made = await (async () => {
      await using changed = await container("commit", ["sh", "-c", "rm /etc/hosts; echo new > /new; sleep 1000"]);
      await using task = await changed.newTask({ io: nullIo });
      await task.start();
      const upper = `/proc/${task.pid}/root/new`;
      await expect.poll(() => readFile(upper, "utf8").catch(() => "")).toBe("new\n");
      const committed = await changed.commit(name, {
        author: "tester",
        message: "a test",
        labels: { by: "commit" },
        configure: (config) => ({ ...config, Cmd: ["sh", "-c", "cat /new; ls /etc"] }),
      });
      expect(await task.status()).toMatchObject({ state: "running" });
      return committed;
    })();
    expect(made.name).toBe(name);
    expect(made.labels.get("by")).toBe("commit");
    expect((await made.manifest()).layers.map(({ digest }) => digest).slice(0, -1)).toEqual(
      (await image.manifest()).layers.map(({ digest }) => digest),
    );
    await using again = await client.newContainer(id("committed"), { image: name });
    await using task = await again.newTask();
    await task.start();
    expect(await textOf(task.stdout)).toBe("new\ngroup\nhostname\npasswd\nresolv.conf\n");
    await client.push(name, made);
    const inspected = await mustRun("skopeo", ["inspect", "--config", "--tls-verify=false", `docker://${name}`]);
    const config = JSON.parse(inspected.stdout) as { author: string; history: { comment?: string }[] };
    expect(config.author).toBe("tester");
    expect(config.history.at(-1)).toMatchObject({ comment: "a test" });
    const views = await Array.fromAsync(client.snapshotter("overlayfs").walk(client.context(), ["kind==view"]));
    expect(views).toEqual([]);
    await made.delete();
  });
});
