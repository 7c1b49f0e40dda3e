import { ContentCreate, ContentDelete } from "@ctrd/api/events/content";
import type { ContentWriter } from "@ctrd/core/content";
import { describe, expect, test } from "vitest";
import { Bench, expectKind } from "../../test/bench.ts";
import { digestOf } from "../../test/memory-content.ts";

const a = digestOf("a");

async function write(writer: ContentWriter, text: string): Promise<void> {
  await writer.write(Buffer.from(text));
}

test("publishes the first commit in a namespace and the explicit delete", async () => {
  const b = await Bench.open();
  await b.blob("a");
  await b.blob("a", {}, b.in("other"));
  await b.store.content.delete(b.ctx, a);
  expect(b.events.map(({ namespace, topic, event }) => [namespace, topic, event.typeUrl])).toEqual([
    ["ns", "/content/create", "containerd.events.ContentCreate"],
    ["other", "/content/create", "containerd.events.ContentCreate"],
    ["ns", "/content/delete", "containerd.events.ContentDelete"],
  ]);
  expect(ContentCreate.decode(b.events[0]?.event.value as Uint8Array)).toMatchObject({ digest: a, size: 1n });
  expect(ContentDelete.decode(b.events[2]?.event.value as Uint8Array)).toEqual({ digest: a });
});

test("the backend sees refs of its own, and the namespace its own", async () => {
  const b = await Bench.open();
  const mine = await b.store.content.writer(b.ctx, { ref: "r/1" });
  const other = await b.store.content.writer(b.in("other"), { ref: "r/1" });
  expect([...b.content.ingests.keys()].sort()).toEqual([
    expect.stringMatching(/^ns\/\d+\/r\/1$/),
    expect.stringMatching(/^other\/\d+\/r\/1$/),
  ]);
  expect(mine.status().ref).toBe("r/1");
  expect((await b.store.content.status(b.ctx, "r/1")).ref).toBe("r/1");
  await mine.close();
  await other.close();
});

test("sequence numbers do not come again after a restart", async () => {
  const b = await Bench.open();
  const refs = new Set<string>();
  for (let i = 0; i < 3; i++) {
    await (await b.store.content.writer(b.ctx, { ref: "r" })).close();
    for (const ref of b.content.ingests.keys()) refs.add(ref);
    await b.store.content.abort(b.ctx, "r");
    await b.reopen();
  }
  expect(refs.size).toBe(3);
});

test("a ref has one writer at a time, for its namespace", async () => {
  const b = await Bench.open();
  const writer = await b.store.content.writer(b.ctx, { ref: "r" });
  await expectKind(
    b.store.content.writer(b.ctx, { ref: "r" }),
    "unavailable",
    /^ref r locked for \S+ \(since \S+Z\): unavailable$/,
  );
  await (await b.store.content.writer(b.in("other"), { ref: "r" })).close();
  await writer.close();
  await writer.close();
  const again = await b.store.content.writer(b.ctx, { ref: "r" });
  await again.commit(b.ctx);
  await (await b.store.content.writer(b.ctx, { ref: "r" })).close();
});

test("a writer that fails to open leaves the ref free", async () => {
  const b = await Bench.open();
  b.content.hook = () => {
    throw new Error("disk trouble");
  };
  await expect(b.store.content.writer(b.ctx, { ref: "r" })).rejects.toThrow("disk trouble");
  b.content.hook = () => {};
  await (await b.store.content.writer(b.ctx, { ref: "r" })).close();
});

test("a closed writer takes nothing more", async () => {
  const b = await Bench.open();
  const writer = await b.store.content.writer(b.ctx, { ref: "r" });
  await writer.close();
  await expectKind(write(writer, "x"), "failed-precondition", "closed");
  await expectKind(writer.commit(b.ctx), "failed-precondition");
  await expectKind(writer.truncate(0n), "failed-precondition");
});

test("labels are checked at commit, and the ingest stays", async () => {
  const b = await Bench.open();
  const writer = await b.store.content.writer(b.ctx, { ref: "r" });
  await write(writer, "a");
  await expectKind(writer.commit(b.ctx, { labels: new Map([["k", "x".repeat(4096)]]) }), "invalid-argument");
  expect(await b.store.content.status(b.ctx, "r")).toMatchObject({ offset: 1n });
  expect(b.content.blobs.size).toBe(0);
});

describe("leases", () => {
  test("hold the ingest until the commit, then the content", async () => {
    const b = await Bench.open();
    const ctx = await b.leased("l");
    const writer = await b.store.content.writer(ctx, { ref: "r" });
    await write(writer, "a");
    expect(await b.store.leases.listResources(b.ctx, "l")).toEqual([{ type: "ingests", id: "r" }]);
    await writer.commit(ctx, { expected: a });
    expect(await b.store.leases.listResources(b.ctx, "l")).toEqual([{ type: "content", id: a }]);
  });

  test("get content that exists already, from opening as from commit", async () => {
    const b = await Bench.open();
    await b.blob("a");
    const one = await b.leased("one");
    await expectKind(b.store.content.writer(one, { ref: "r", expected: a }), "already-exists");
    expect(await b.store.leases.listResources(b.ctx, "one")).toEqual([{ type: "content", id: a }]);
    const two = await b.leased("two");
    await expectKind(b.blob("a", {}, two), "already-exists");
    expect(await b.store.leases.listResources(b.ctx, "two")).toEqual([{ type: "content", id: a }]);
    expect(await b.store.content.listStatuses(b.ctx, [])).toEqual([]);
  });

  test("let go of deleted content and aborted ingests", async () => {
    const b = await Bench.open();
    const ctx = await b.leased("l");
    await b.blob("a", {}, ctx);
    await (await b.store.content.writer(ctx, { ref: "r" })).close();
    await b.store.content.delete(ctx, a);
    await b.store.content.abort(ctx, "r");
    expect(await b.store.leases.listResources(b.ctx, "l")).toEqual([]);
  });
});

describe("a blob of the backend that another namespace has", () => {
  test("stands for the upload, with or without the size", async () => {
    const b = await Bench.open();
    await b.blob("aaa");
    const digest = digestOf("aaa");
    for (const [namespace, size] of [
      ["one", {}],
      ["two", { total: 3n }],
    ] as const) {
      const ctx = b.in(namespace);
      const writer = await b.store.content.writer(ctx, { ref: "r", expected: digest, ...size });
      expect(writer.status()).toMatchObject({ ref: "r", offset: 3n, total: 3n, expected: digest });
      expect(await writer.digest()).toBe(digest);
      expect(await b.store.content.status(ctx, "r")).toMatchObject({ ref: "r", offset: 3n, total: 3n });
      expect(await b.store.content.listStatuses(ctx, ["ref==r"])).toHaveLength(1);
      expect(await b.digests(ctx)).toEqual([]);
      await writer.commit(ctx, { expected: digest, size: 3n, labels: new Map([["x", "1"]]) });
      expect(await b.store.content.info(ctx, digest)).toMatchObject({ size: 3n, labels: new Map([["x", "1"]]) });
      expect(await b.store.content.listStatuses(ctx, [])).toEqual([]);
    }
    expect(b.content.ingests.size).toBe(0);
  });

  test("is checked at commit", async () => {
    const b = await Bench.open();
    await b.blob("aaa");
    const ctx = b.in("other");
    const open = (): Promise<ContentWriter> => b.store.content.writer(ctx, { ref: "r", expected: digestOf("aaa") });
    await expectKind((await open()).commit(ctx, { size: 4n }), "failed-precondition", "size");
    await expectKind((await open()).commit(ctx, { expected: a }), "failed-precondition", "digest");
    expect(await b.digests(ctx)).toEqual([]);
    await (await open()).commit(ctx);
    expect(await b.digests(ctx)).toEqual([digestOf("aaa")]);
  });

  test("is copied when more is written", async () => {
    const b = await Bench.open();
    await b.blob("aaa");
    const ctx = b.in("other");
    const writer = await b.store.content.writer(ctx, { ref: "r", expected: digestOf("aaa") });
    await writer.write(new Uint8Array());
    expect(b.content.ingests.size).toBe(0);
    await write(writer, "bc");
    expect(writer.status()).toMatchObject({ ref: "r", offset: 5n });
    await writer.commit(ctx, { expected: digestOf("aaabc") });
    expect(await b.digests(ctx)).toEqual([digestOf("aaabc")]);
  });

  test("is copied in part when it is cut, and the ingest can be resumed", async () => {
    const b = await Bench.open();
    await b.blob("aaa");
    const ctx = b.in("other");
    const writer = await b.store.content.writer(ctx, { ref: "r", expected: digestOf("aaa") });
    await expectKind(writer.truncate(4n), "invalid-argument");
    await writer.truncate(2n);
    await writer.close();
    expect(await b.store.content.status(ctx, "r")).toMatchObject({ offset: 2n });
    const again = await b.store.content.writer(ctx, { ref: "r" });
    await write(again, "b");
    await again.commit(ctx, { expected: digestOf("aab") });
    expect(await b.digests(ctx)).toEqual([digestOf("aab")]);
  });

  test("with another size must be uploaded", async () => {
    const b = await Bench.open();
    await b.blob("aaa");
    const writer = await b.store.content.writer(b.in("other"), { ref: "r", expected: digestOf("aaa"), total: 2n });
    expect(writer.status().offset).toBe(0n);
    await writer.close();
  });

  test("must be uploaded under the isolated policy, unless its namespace is shareable", async () => {
    const b = await Bench.open({ sharingPolicy: "isolated" });
    await b.blob("aaa");
    const open = (): Promise<ContentWriter> =>
      b.store.content.writer(b.in("other"), { ref: "r", expected: digestOf("aaa") });
    const isolated = await open();
    expect(isolated.status().offset).toBe(0n);
    await isolated.close();
    const share = async (value: string): Promise<unknown> =>
      b.store.namespaces.update(
        b.ctx,
        { name: "ns", labels: new Map([["containerd.io/namespace.shareable", value]]) },
        ["labels.containerd.io/namespace.shareable"],
      );
    await share("yes");
    const still = await open();
    expect(still.status().offset).toBe(0n);
    await still.close();
    await share("true");
    const shared = await open();
    expect(shared.status().offset).toBe(3n);
    await shared.commit(b.in("other"));
    expect(await b.digests(b.in("other"))).toEqual([digestOf("aaa")]);
  });
});

test("an expected digest that is malformed opens like an unknown one", async () => {
  const b = await Bench.open();
  const writer = await b.store.content.writer(b.ctx, { ref: "r", expected: "nonsense" });
  expect(writer.status().offset).toBe(0n);
  await writer.close();
});

test("lists more blobs than a page in order, and sees what is deleted meanwhile", async () => {
  const b = await Bench.open();
  await Promise.all(Array.from({ length: 600 }, (_unused, i) => b.blob(`x${i}`)));
  const digests = await b.digests();
  expect(digests).toHaveLength(600);
  expect(digests).toEqual([...digests].sort());
  let seen = 0;
  for await (const { digest } of b.store.content.list(b.ctx, [])) {
    if (seen++ === 0) for (const later of digests.slice(550)) await b.store.content.delete(b.ctx, later);
    expect(digest).toMatch(/^sha256:/);
  }
  expect(seen).toBe(550);
});

test("an abort that the backend refuses is made good by the next collection", async () => {
  const b = await Bench.open();
  await (await b.store.content.writer(b.ctx, { ref: "r" })).close();
  b.content.hook = (operation) => {
    if (operation === "abort") throw new Error("disk trouble");
  };
  await b.collect();
  await expect(b.store.content.abort(b.ctx, "r")).rejects.toThrow("disk trouble");
  await expectKind(b.store.content.status(b.ctx, "r"), "not-found");
  b.content.hook = () => {};
  await b.collect();
  expect(b.content.ingests.size).toBe(0);
});

test("a reader keeps its blob until the backend's reader is closed, and may be closed again", async () => {
  const b = await Bench.open();
  const digest = await b.blob("a", {}, b.in("other"));
  const { promise: closing, resolve: finish } = Promise.withResolvers<void>();
  let closed = 0;
  const open = b.content.reader.bind(b.content);
  b.content.reader = async (ctx, wanted) => ({
    ...(await open(ctx, wanted)),
    close: async () => {
      closed++;
      await closing;
    },
  });
  const reader = await b.store.content.reader(b.in("other"), digest);
  await b.store.content.delete(b.in("other"), digest);
  const first = reader.close();
  const second = reader.close();
  await b.collect();
  expect(b.content.blobs.has(digest)).toBe(true);
  finish();
  await Promise.all([first, second]);
  expect(closed).toBe(1);
  await b.collect();
  expect(b.content.blobs.has(digest)).toBe(false);
});

describe("a partial upload that another namespace's upload makes needless", () => {
  async function overtaken(commit: boolean): Promise<Bench> {
    const b = await Bench.open();
    // The first collection of a run lists the backend; what is shown here must not depend on it.
    await b.collect();
    const partial = await b.store.content.writer(b.ctx, { ref: "r" });
    await write(partial, "a bi");
    await partial.close();
    await b.blob("a bit", {}, b.in("other"));
    const shared = await b.store.content.writer(b.ctx, { ref: "r", expected: digestOf("a bit") });
    expect(shared.status().offset).toBe(5n);
    if (commit) await shared.commit(b.ctx, { labels: new Map([["containerd.io/gc.root", "x"]]) });
    await shared.close();
    return b;
  }

  test("is removed after the commit", async () => {
    const b = await overtaken(true);
    await b.collect();
    expect([...b.content.ingests.keys()]).toEqual([]);
    expect(await b.digests()).toEqual([digestOf("a bit")]);
  });

  test("is removed when the ref is aborted", async () => {
    const b = await overtaken(false);
    await b.store.content.abort(b.ctx, "r");
    await b.collect();
    expect([...b.content.ingests.keys()]).toEqual([]);
  });
});
