import { expect, test } from "vitest";
import { expectKind } from "../expectations.ts";
import type { OpenedRecords, WithRecords } from "./harness.ts";
import { labelsOf } from "./harness.ts";
import type { AnyRecord, RecordKind } from "./kind.ts";

/** The filter language, on id and labels. */
export function filterTests<S, R extends AnyRecord>(
  withStore: WithRecords<OpenedRecords<S>>,
  kind: RecordKind<S, R>,
): void {
  const { idField } = kind;
  test.each<[filters: string[], found: string[]]>([
    [[], ["ape", "bee", "cat"]],
    [[""], ["ape", "bee", "cat"]],
    [[`${idField}==ape`], ["ape"]],
    [[`${idField}!=ape`], ["bee", "cat"]],
    [[`${idField}~=^(a|c)`], ["ape", "cat"]],
    [[`${idField}~=/pe$/`], ["ape"]],
    [[`${idField}~=(`], []],
    [
      [`${idField}==ape`, `${idField}==cat`],
      ["ape", "cat"],
    ],
    [["labels.legs==2"], ["ape"]],
    [["labels.legs"], ["ape", "bee"]],
    [["labels.legs!=2"], ["bee", "cat"]],
    [
      ["labels.legs~=[26]", `${idField}==cat`],
      ["ape", "bee", "cat"],
    ],
    [["labels.legs==6, labels.wings==4"], ["bee"]],
    [["labels.legs==6,labels.wings==2"], []],
    [['labels."a.b/c"==yes'], ["cat"]],
    [["labels.a.b"], []],
    [["nonsense==x"], []],
    [["nonsense!=x"], ["ape", "bee", "cat"]],
    [[`${idField}==absent`], []],
  ])("filters %j", (filters, found) =>
    withStore(async ({ store, ctx }) => {
      await kind.create(store, ctx, kind.make("ape", labelsOf({ legs: "2" })));
      await kind.create(store, ctx, kind.make("bee", labelsOf({ legs: "6", wings: "4" })));
      await kind.create(store, ctx, kind.make("cat", labelsOf({ "a.b/c": "yes" })));
      expect((await kind.list(store, ctx, filters)).map(kind.idOf).sort()).toEqual(found);
    })(),
  );

  test(
    "a malformed filter is refused",
    withStore(async ({ store, ctx }) => {
      await kind.create(store, ctx, kind.make("ape"));
      for (const filter of ["==", `${idField}==`, `${idField}=ape`, "labels.", `${idField}=="ape`, "a b"]) {
        await expectKind(kind.list(store, ctx, [filter]), "invalid-argument");
        await expectKind(kind.list(store, ctx, [`${idField}==ape`, filter]), "invalid-argument");
      }
    }),
  );
}
