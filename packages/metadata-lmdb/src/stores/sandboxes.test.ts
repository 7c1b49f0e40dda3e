import type { Sandbox } from "@ctrd/core/sandboxes";
import { describe, expect, test } from "vitest";
import { Bench, expectKind } from "../../test/bench.ts";

const any = (text: string): { typeUrl: string; value: Uint8Array } => ({ typeUrl: "t", value: Buffer.from(text) });
const map = (entries: Record<string, string>): Map<string, string> => new Map(Object.entries(entries));
const big = "x".repeat(4097);

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
    [
      ["extensions.f"],
      {
        extensions: new Map([
          ["e", any("e")],
          ["f", any("f")],
        ]),
      },
    ],
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
