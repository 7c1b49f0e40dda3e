import { withLease, withNamespace } from "@ctrd/core/context";
import type { Container } from "@ctrd/core/containers";
import type { Image } from "@ctrd/core/images";
import type { Sandbox } from "@ctrd/core/sandboxes";
import { describe, expect, test } from "vitest";
import { Bench, expectKind } from "../../test/bench.ts";
import { digestOf } from "../../test/memory-content.ts";

const any = (text: string): { typeUrl: string; value: Uint8Array } => ({ typeUrl: "t", value: Buffer.from(text) });
const map = (entries: Record<string, string>): Map<string, string> => new Map(Object.entries(entries));
const big = "x".repeat(4097);

const container: Container = {
  id: "c1",
  labels: map({ a: "1", b: "2" }),
  image: "image",
  runtime: { name: "io.containerd.runc.v2", options: any("options") },
  spec: any("spec"),
  snapshotter: "mem",
  snapshotKey: "key",
  createdAt: undefined,
  updatedAt: undefined,
  extensions: new Map([["e", any("e")]]),
  sandbox: "sandbox",
};

describe("containers", () => {
  test("are created, read, listed and deleted", async () => {
    const b = await Bench.open();
    const { containers } = b.store;
    const created = await containers.create(b.ctx, container);
    expect(created).toEqual({ ...container, createdAt: expect.anything(), updatedAt: created.createdAt });
    expect(Number(created.createdAt?.seconds)).toBeCloseTo(Date.now() / 1000, -2);
    expect(await containers.get(b.ctx, "c1")).toEqual(created);
    await containers.create(b.ctx, { ...container, id: "c2", labels: map({}) });
    expect((await containers.list(b.ctx, [])).map(({ id }) => id)).toEqual(["c1", "c2"]);
    expect((await containers.list(b.ctx, ["labels.a==1"])).map(({ id }) => id)).toEqual(["c1"]);
    expect(await containers.list(withNamespace(b.ctx, "other"), [])).toEqual([]);
    await containers.delete(b.ctx, "c1");
    await expectKind(containers.get(b.ctx, "c1"), "not-found", 'container "c1"');
    await expectKind(containers.delete(b.ctx, "c1"), "not-found");
    await expectKind(containers.update(b.ctx, container, []), "not-found");
    await expectKind(containers.list(b.ctx, ["=="]), "invalid-argument");
  });

  test("survive a restart byte for byte", async () => {
    const b = await Bench.open();
    const created = await b.store.containers.create(b.ctx, container);
    await b.reopen();
    expect(await b.store.containers.get(b.ctx, "c1")).toEqual(created);
  });

  test.each<[string, Partial<Container>]>([
    ["an empty id", { id: "" }],
    ["a malformed id", { id: "a/b" }],
    ["a long id", { id: "a".repeat(77) }],
    ["no runtime", { runtime: undefined }],
    ["no runtime name", { runtime: { name: "", options: undefined } }],
    ["no spec", { spec: undefined }],
    ["a snapshot key without snapshotter", { snapshotter: "" }],
    ["an empty extension key", { extensions: new Map([["", any("x")]]) }],
    ["a label that is too large", { labels: map({ k: big }) }],
  ])("with %s are refused", async (_name, change) => {
    const b = await Bench.open();
    await expectKind(b.store.containers.create(b.ctx, { ...container, ...change }), "invalid-argument");
    expect(await b.store.containers.list(b.ctx, [])).toEqual([]);
  });

  test("exist once per namespace", async () => {
    const b = await Bench.open();
    await b.store.containers.create(b.ctx, container);
    await expectKind(b.store.containers.create(b.ctx, container), "already-exists", 'container "c1"');
    await b.store.containers.create(withNamespace(b.ctx, "other"), container);
    await expectKind(b.store.containers.create(withNamespace(b.ctx, ""), container), "failed-precondition", /namespace/);
    await expectKind(b.store.containers.create(withNamespace(b.ctx, "a b"), container), "invalid-argument");
  });

  const wanted: Container = {
    ...container,
    labels: map({ b: "3", c: "4" }),
    image: "new image",
    spec: any("new spec"),
    snapshotKey: "new key",
    extensions: new Map([["f", any("f")]]),
    sandbox: "ignored",
  };
  test.each<[string[], Partial<Container>]>([
    [["labels"], { labels: wanted.labels }],
    [["labels.b"], { labels: map({ a: "1", b: "3" }) }],
    [["labels.a", "labels.c"], { labels: map({ b: "2", c: "4" }) }],
    [["spec"], { spec: wanted.spec }],
    [["image", "snapshotkey"], { image: "new image", snapshotKey: "new key" }],
    [["extensions"], { extensions: wanted.extensions }],
    [["extensions.f"], { extensions: new Map([["e", any("e")], ["f", any("f")]]) }],
    [["extensions.e"], { extensions: new Map() }],
    [
      [],
      {
        labels: wanted.labels,
        image: "new image",
        spec: wanted.spec,
        snapshotKey: "new key",
        extensions: wanted.extensions,
      },
    ],
  ])("are updated by the mask %j", async (mask, change) => {
    const b = await Bench.open();
    const { containers } = b.store;
    const created = await containers.create(b.ctx, container);
    const updated = await containers.update(b.ctx, wanted, mask);
    expect(updated).toEqual({ ...created, ...change, updatedAt: updated.updatedAt });
    expect(await containers.get(b.ctx, "c1")).toEqual(updated);
  });

  test.each<[string[], Partial<Container>]>([
    [["runtime"], {}],
    [["snapshotter"], {}],
    [["labels."], {}],
    [["createdat"], {}],
    [["labels", "nonsense"], {}],
    [[], { snapshotter: "other" }],
    [[], { runtime: { name: "other", options: undefined } }],
    [[], { labels: map({ k: big }) }],
    [["spec"], { spec: undefined }],
  ])("are not updated by the mask %j with %j", async (mask, change) => {
    const b = await Bench.open();
    const created = await b.store.containers.create(b.ctx, container);
    await expectKind(b.store.containers.update(b.ctx, { ...container, ...change }, mask), "invalid-argument");
    expect(await b.store.containers.get(b.ctx, "c1")).toEqual(created);
  });

  test("immutable fields are not looked at with a mask", async () => {
    const b = await Bench.open();
    await b.store.containers.create(b.ctx, container);
    const other = { ...container, snapshotter: "other", image: "x" };
    expect(await b.store.containers.update(b.ctx, other, ["image"])).toMatchObject({ image: "x", snapshotter: "mem" });
  });
});

const image: Image = {
  name: "docker.io/library/x:latest",
  labels: map({ a: "1", b: "2" }),
  target: { mediaType: "m", digest: digestOf("x"), size: 5n, annotations: map({ n: "1" }) },
  createdAt: undefined,
  updatedAt: undefined,
};

describe("images", () => {
  test("are created, read, listed and deleted", async () => {
    const b = await Bench.open();
    const { images } = b.store;
    const created = await images.create(b.ctx, image);
    expect(created).toMatchObject({ name: image.name, labels: image.labels, target: image.target });
    expect(await images.get(b.ctx, image.name)).toEqual(created);
    await images.create(b.ctx, { ...image, name: "😀 any text /:@" });
    expect(await images.list(b.ctx, [])).toHaveLength(2);
    expect(await images.list(b.ctx, [`name=="${image.name}"`])).toEqual([created]);
    expect(await images.list(b.ctx, [`target.digest==${digestOf("y")}`])).toEqual([]);
    await expectKind(images.create(b.ctx, image), "already-exists");
    await images.delete(b.ctx, image.name);
    await expectKind(images.get(b.ctx, image.name), "not-found", image.name);
    await expectKind(images.delete(b.ctx, image.name), "not-found");
    await expectKind(images.update(b.ctx, image, []), "not-found");
  });

  test("take times from the source date epoch", async () => {
    const b = await Bench.open();
    const epoch = { seconds: 1000n, nanos: 5 };
    expect(await b.store.images.create(b.ctx, image, epoch)).toMatchObject({ createdAt: epoch, updatedAt: epoch });
    const later = { seconds: 2000n, nanos: 0 };
    expect(await b.store.images.update(b.ctx, image, ["labels"], later)).toMatchObject({
      createdAt: epoch,
      updatedAt: later,
    });
  });

  const target = image.target as NonNullable<Image["target"]>;
  test.each<[string, Partial<Image>]>([
    ["no name", { name: "" }],
    ["a NUL in the name", { name: "a\0b" }],
    ["a name that is too long", { name: "x".repeat(1025) }],
    ["no target", { target: undefined }],
    ["a malformed digest", { target: { ...target, digest: "sha256:xyz" } }],
    ["no size", { target: { ...target, size: 0n } }],
    ["a negative size", { target: { ...target, size: -1n } }],
    ["no media type", { target: { ...target, mediaType: "" } }],
    ["a label that is too large", { labels: map({ k: big }) }],
  ])("with %s are refused", async (_name, change) => {
    const b = await Bench.open();
    await expectKind(b.store.images.create(b.ctx, { ...image, ...change }), "invalid-argument");
  });

  const next = { mediaType: "n", digest: digestOf("y"), size: 6n, annotations: map({ n: "2", o: "3" }) };
  const wanted: Image = { ...image, labels: map({ b: "3" }), target: next };
  test.each<[string[], Partial<Image>]>([
    [["labels"], { labels: map({ b: "3" }) }],
    [["labels.b"], { labels: map({ a: "1", b: "3" }) }],
    [["labels.a"], { labels: map({ b: "2" }) }],
    [["target"], { target: next }],
    [["annotations"], { target: { ...target, annotations: next.annotations } }],
    [["annotations.o"], { target: { ...target, annotations: map({ n: "1", o: "3" }) } }],
    [["annotations.gone"], {}],
    [[], { labels: map({ b: "3" }), target: next }],
  ])("are updated by the mask %j", async (mask, change) => {
    const b = await Bench.open();
    const created = await b.store.images.create(b.ctx, image);
    const updated = await b.store.images.update(b.ctx, wanted, mask);
    expect(updated).toEqual({ ...created, ...change, updatedAt: updated.updatedAt });
    expect(await b.store.images.get(b.ctx, image.name)).toEqual(updated);
  });

  test.each([["name"], ["createdat"], ["target.digest"], ["labels."]])("are not updated by %s", async (path) => {
    const b = await Bench.open();
    await b.store.images.create(b.ctx, image);
    await expectKind(b.store.images.update(b.ctx, wanted, [path]), "invalid-argument", path);
  });

  test("are deleted only with the target that is asked for", async () => {
    const b = await Bench.open();
    await b.store.images.create(b.ctx, image);
    await expectKind(b.store.images.delete(b.ctx, image.name, { target: next }), "not-found", digestOf("y"));
    await b.store.images.delete(b.ctx, image.name, { target });
    expect(await b.store.images.list(b.ctx, [])).toEqual([]);
  });

  test("labels without value are not stored", async () => {
    const b = await Bench.open();
    const created = await b.store.images.create(b.ctx, { ...image, labels: map({ a: "", b: "2" }) });
    expect(created.labels).toEqual(map({ b: "2" }));
    expect((await b.store.images.update(b.ctx, { ...image, labels: map({ b: "" }) }, ["labels.b"])).labels.size).toBe(0);
  });

  test("keys of Object.prototype are labels like others", async () => {
    const b = await Bench.open();
    const labels = map({ constructor: "1" }).set("__proto__", "2");
    await b.store.images.create(b.ctx, { ...image, labels });
    await b.reopen();
    expect((await b.store.images.get(b.ctx, image.name)).labels).toEqual(labels);
    expect(await b.store.images.list(b.ctx, ["labels.__proto__==2"])).toHaveLength(1);
    expect(await b.store.images.list(b.ctx, ["labels.toString"])).toEqual([]);
  });
});

const sandbox: Sandbox = {
  sandboxId: "s1",
  runtime: { name: "runc", options: any("o") },
  spec: any("spec"),
  labels: map({ a: "1" }),
  createdAt: undefined,
  updatedAt: undefined,
  extensions: new Map([["e", any("e")]]),
  sandboxer: "shim",
};

describe("sandboxes", () => {
  test("are created, read, listed and deleted", async () => {
    const b = await Bench.open();
    const { sandboxes } = b.store;
    const created = await sandboxes.create(b.ctx, sandbox);
    await b.reopen();
    expect(await b.store.sandboxes.get(b.ctx, "s1")).toEqual(created);
    expect(await b.store.sandboxes.list(b.ctx, ["id==s1,labels.a==1"])).toEqual([created]);
    expect(await b.store.sandboxes.list(b.ctx, ["labels.a==2"])).toEqual([]);
    await expectKind(b.store.sandboxes.create(b.ctx, sandbox), "already-exists");
    await b.store.sandboxes.delete(b.ctx, "s1");
    await expectKind(b.store.sandboxes.get(b.ctx, "s1"), "not-found", 'sandbox "s1"');
    await expectKind(b.store.sandboxes.delete(b.ctx, "s1"), "not-found");
    await expectKind(b.store.sandboxes.update(b.ctx, sandbox, []), "not-found");
  });

  test.each<[string, Partial<Sandbox>]>([
    ["a malformed id", { sandboxId: "a b" }],
    ["no sandboxer", { sandboxer: "" }],
    ["a label that is too large", { labels: map({ k: big }) }],
    ["an empty extension key", { extensions: new Map([["", any("x")]]) }],
  ])("with %s are refused", async (_name, change) => {
    const b = await Bench.open();
    await expectKind(b.store.sandboxes.create(b.ctx, { ...sandbox, ...change }), "invalid-argument");
  });

  const wanted: Sandbox = {
    ...sandbox,
    runtime: { name: "runc", options: undefined },
    spec: any("new"),
    labels: map({ b: "2" }),
    extensions: new Map([["f", any("f")]]),
    sandboxer: "other",
  };
  test.each<[string[], Partial<Sandbox>]>([
    [["labels"], { labels: map({ b: "2" }) }],
    [["labels.b"], { labels: map({ a: "1", b: "2" }) }],
    [["extensions"], { extensions: wanted.extensions }],
    [["extensions.f"], { extensions: new Map([["e", any("e")], ["f", any("f")]]) }],
    [["spec"], { spec: any("new") }],
    [["runtime"], { runtime: wanted.runtime }],
    [[], { labels: wanted.labels, extensions: wanted.extensions, spec: wanted.spec, runtime: wanted.runtime }],
  ])("are updated by the mask %j", async (mask, change) => {
    const b = await Bench.open();
    const created = await b.store.sandboxes.create(b.ctx, sandbox);
    const updated = await b.store.sandboxes.update(b.ctx, wanted, mask);
    expect(updated).toEqual({ ...created, ...change, updatedAt: updated.updatedAt });
    expect(await b.store.sandboxes.get(b.ctx, "s1")).toEqual(updated);
  });

  test("keep sandboxer and, without a mask, the runtime's name", async () => {
    const b = await Bench.open();
    await b.store.sandboxes.create(b.ctx, sandbox);
    await expectKind(b.store.sandboxes.update(b.ctx, wanted, ["sandboxer"]), "invalid-argument");
    const renamed = { ...sandbox, runtime: { name: "x", options: undefined } };
    await expectKind(b.store.sandboxes.update(b.ctx, renamed, []), "invalid-argument", "immutable");
    expect((await b.store.sandboxes.update(b.ctx, renamed, ["runtime"])).runtime?.name).toBe("x");
  });
});

describe("namespaces", () => {
  test("are created, labelled, listed and deleted", async () => {
    const b = await Bench.open();
    const { namespaces } = b.store;
    const created = await namespaces.create(b.ctx, { name: "n1", labels: map({ a: "1", e: "" }) });
    expect(created).toEqual({ name: "n1", labels: map({ a: "1" }) });
    await expectKind(namespaces.create(b.ctx, created), "already-exists", 'namespace "n1"');
    await expectKind(namespaces.create(b.ctx, { name: "a b", labels: map({}) }), "invalid-argument");
    await expectKind(namespaces.create(b.ctx, { name: "x", labels: map({ k: big }) }), "invalid-argument");
    expect(await namespaces.get(b.ctx, "n1")).toEqual(created);
    expect(await namespaces.get(b.ctx, "unknown")).toEqual({ name: "unknown", labels: map({}) });
    expect(await namespaces.list(b.ctx)).toEqual([created]);
    const wanted = { name: "n1", labels: map({ b: "2" }) };
    expect((await namespaces.update(b.ctx, wanted, ["labels.b"])).labels).toEqual(map({ a: "1", b: "2" }));
    expect((await namespaces.update(b.ctx, wanted, ["labels.a"])).labels).toEqual(map({ b: "2" }));
    expect((await namespaces.update(b.ctx, { name: "n1", labels: map({ c: "3" }) }, [])).labels).toEqual(map({ c: "3" }));
    await expectKind(namespaces.update(b.ctx, wanted, ["labels"]), "invalid-argument");
    await expectKind(namespaces.update(b.ctx, wanted, ["name"]), "invalid-argument");
    await b.reopen();
    expect((await b.store.namespaces.get(b.ctx, "n1")).labels).toEqual(map({ c: "3" }));
    await b.store.namespaces.delete(b.ctx, "n1");
    await expectKind(b.store.namespaces.delete(b.ctx, "n1"), "not-found", 'namespace "n1"');
  });

  test("come to be when something is written in them, or labelled", async () => {
    const b = await Bench.open();
    await b.container("c");
    await b.leased("l");
    await b.store.namespaces.update(b.ctx, { name: "labelled", labels: map({ a: "1" }) }, ["labels.a"]);
    expect((await b.store.namespaces.list(b.ctx)).map(({ name }) => name)).toEqual(["labelled", "ns"]);
    await expectKind(b.store.namespaces.create(b.ctx, { name: "ns", labels: map({}) }), "already-exists");
  });

  test("are deleted only when nothing is left but leases and sandboxes, which go too", async () => {
    const b = await Bench.open();
    await b.leased("l");
    await b.store.sandboxes.create(b.ctx, sandbox);
    await b.image("i", await b.blob("a"));
    await b.container("c");
    await b.snapshot("s");
    const text =
      'namespace "ns" must be empty, but it still has images, blobs, containers, snapshots on "mem" snapshotter';
    await expectKind(b.store.namespaces.delete(b.ctx, "ns"), "failed-precondition", text);
    await b.store.images.delete(b.ctx, "i");
    await b.store.containers.delete(b.ctx, "c");
    await expectKind(b.store.namespaces.delete(b.ctx, "ns"), "failed-precondition", "still has blobs, snapshots");
    await b.store.content.delete(b.ctx, digestOf("a"));
    await b.snapshotter.remove(b.ctx, "s");
    await b.store.namespaces.delete(b.ctx, "ns");
    expect(await b.store.leases.list(b.ctx, [])).toEqual([]);
    expect(await b.store.sandboxes.list(b.ctx, [])).toEqual([]);
    expect(await b.store.namespaces.list(b.ctx)).toEqual([]);
  });

  test("whose name begins like another's are not mixed up", async () => {
    const b = await Bench.open();
    await b.leased("l");
    await b.store.leases.create(b.in("ns1"), { id: "m", labels: map({}) });
    expect((await b.store.leases.list(b.ctx, [])).map(({ id }) => id)).toEqual(["l"]);
    await b.store.namespaces.delete(b.ctx, "ns");
    expect((await b.store.leases.list(b.in("ns1"), [])).map(({ id }) => id)).toEqual(["m"]);
  });
});

describe("leases", () => {
  test("are created, listed and deleted", async () => {
    const b = await Bench.open();
    const { leases } = b.store;
    const lease = await leases.create(b.ctx, { id: "moby-image-sha256:1", labels: map({ a: "1" }) });
    await expectKind(leases.create(b.ctx, lease), "already-exists");
    await expectKind(leases.create(b.ctx, { id: "x".repeat(513), labels: map({}) }), "invalid-argument");
    await expectKind(leases.create(b.ctx, { id: "x", labels: map({ k: big }) }), "invalid-argument");
    const generated = await leases.create(b.ctx, { id: "", labels: map({}) });
    expect(generated.id).toMatch(/^\d+-[A-Za-z0-9_-]{4}$/);
    expect(await leases.list(b.ctx, ["labels.a==1"])).toEqual([lease]);
    expect(await leases.list(b.ctx, [`id=="${generated.id}"`])).toEqual([generated]);
    await leases.delete(b.ctx, lease.id);
    await expectKind(leases.delete(b.ctx, lease.id), "not-found");
    expect(await leases.list(b.ctx, [])).toEqual([generated]);
  });

  test("hold resources of known types", async () => {
    const b = await Bench.open();
    await b.leased("l");
    const { leases } = b.store;
    const resources = [
      { type: "content", id: digestOf("x") },
      { type: "images", id: "i" },
      { type: "ingests", id: "r" },
      { type: "snapshots/overlayfs", id: "k".repeat(1000) },
    ];
    for (const resource of resources) await leases.addResource(b.ctx, "l", resource);
    await leases.addResource(b.ctx, "l", resources[1] as { type: string; id: string });
    expect(await leases.listResources(b.ctx, "l")).toEqual(resources);
    await leases.deleteResource(b.ctx, "l", { type: "images", id: "i" });
    await leases.deleteResource(b.ctx, "l", { type: "images", id: "never there" });
    expect(await leases.listResources(b.ctx, "l")).toHaveLength(3);
  });

  test.each([
    ["content", "no digest", "invalid-argument"],
    ["content/x", digestOf("x"), "invalid-argument"],
    ["images/x", "i", "invalid-argument"],
    ["snapshots", "s", "invalid-argument"],
    ["snapshots/", "s", "invalid-argument"],
    ["snapshots/a/b", "s", "invalid-argument"],
    ["images", "", "invalid-argument"],
    ["mounts", "m", "not-implemented"],
    ["", "m", "not-implemented"],
  ] as const)("refuse the resource %s %s", async (type, id, kind) => {
    const b = await Bench.open();
    await b.leased("l");
    await expectKind(b.store.leases.addResource(b.ctx, "l", { type, id }), kind);
    await expectKind(b.store.leases.deleteResource(b.ctx, "l", { type, id }), kind);
    expect(await b.store.leases.listResources(b.ctx, "l")).toEqual([]);
  });

  test("that are missing hold nothing", async () => {
    const b = await Bench.open();
    const resource = { type: "images", id: "i" };
    await expectKind(b.store.leases.addResource(b.ctx, "l", resource), "not-found", 'lease "l"');
    await expectKind(b.store.leases.deleteResource(b.ctx, "l", resource), "not-found");
    await expectKind(b.store.leases.listResources(b.ctx, "l"), "not-found");
  });

  test("that are missing fail the write that names them, which leaves nothing behind", async () => {
    const b = await Bench.open();
    const ctx = withLease(b.ctx, "gone");
    await expectKind(b.image("i", digestOf("a"), {}, ctx), "not-found", 'lease "gone"');
    await expectKind(b.store.content.writer(ctx, { ref: "r" }), "not-found", 'lease "gone"');
    await expectKind(b.snapshotter.prepare(ctx, "k", ""), "not-found", 'lease "gone"');
    await b.snapshotter.prepare(b.ctx, "k", "");
    await expectKind(b.snapshotter.commit(ctx, "n", "k"), "not-found", 'lease "gone"');
    expect(await b.store.images.list(b.ctx, [])).toEqual([]);
    expect(await b.store.content.listStatuses(b.ctx, [])).toEqual([]);
    expect(b.backendKeys()).toEqual(["k"]);
    expect(b.content.ingests.size).toBe(0);
  });
});
