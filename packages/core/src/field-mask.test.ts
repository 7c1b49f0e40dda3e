import { describe, expect, it } from "vitest";
import { applyLabelMask, maskedKey } from "./field-mask.ts";
import { checkLabels, maxLabelSize } from "./labels.ts";

const current = new Map([
  ["a", "1"],
  ["b.c", "2"],
]);
const apply = (wanted: [string, string][], mask: string[]): [string, string][] => [
  ...applyLabelMask(current, new Map(wanted), mask, 'content "x"'),
];

describe("applyLabelMask", () => {
  it("replaces all labels without a mask and with labels", () => {
    expect(apply([["n", "9"]], [])).toEqual([["n", "9"]]);
    expect(apply([["n", "9"]], ["labels"])).toEqual([["n", "9"]]);
  });

  it("sets and removes single labels", () => {
    expect(apply([["b.c", "3"]], ["labels.b.c"])).toEqual([
      ["a", "1"],
      ["b.c", "3"],
    ]);
    expect(apply([["a", ""]], ["labels.a"])).toEqual([["b.c", "2"]]);
    expect(apply([], ["labels.a", "labels.none"])).toEqual([["b.c", "2"]]);
  });

  it("stores no empty labels", () => {
    expect(
      apply(
        [
          ["n", ""],
          ["m", "1"],
        ],
        [],
      ),
    ).toEqual([["m", "1"]]);
  });

  it("leaves its arguments alone", () => {
    apply([["a", ""]], ["labels.a"]);
    expect(current.size).toBe(2);
  });

  it.each(["size", "labels.", "labelsx", "", "LABELS"])("refuses the path %j", (path) => {
    expect(() => apply([], [path])).toThrow(`update content "x": field "${path}" cannot be changed`);
  });

  it("knows the keys of other map fields", () => {
    expect(maskedKey("extensions.a.b", "extensions")).toBe("a.b");
    expect(maskedKey("extensions", "extensions")).toBeUndefined();
  });
});

describe("checkLabels", () => {
  it("counts bytes of key and value", () => {
    checkLabels(new Map([["k", "v".repeat(maxLabelSize - 1)]]));
    checkLabels(new Map([["k", "é".repeat((maxLabelSize - 2) / 2)]]));
    expect(() => checkLabels(new Map([["k", "v".repeat(maxLabelSize)]]))).toThrow('label "k": key and value have 4097');
    expect(() => checkLabels(new Map([["k", "é".repeat(maxLabelSize / 2)]]))).toThrow("invalid argument");
    expect(() =>
      checkLabels(
        new Map([
          ["ok", ""],
          ["x".repeat(5000), ""],
        ]),
      ),
    ).toThrow("x…");
  });
});
