import { describe, expect, it } from "vitest";
import { isKind } from "../errors.ts";
import type { FieldAdaptor, Filter, FilterOperator } from "./index.ts";
import { compileFilters, formatFilter, labelField, parseFilter } from "./index.ts";

const labels = new Map([
  ["tier", "web"],
  ["a.b", "dotted"],
  ["example.com/x-y", "slash"],
  ["three", "3"],
]);

const object: FieldAdaptor = (path) => {
  if (path[0] === "name") return { value: "alpine", present: true };
  if (path[0] === "labels") return labelField(labels, path.slice(1));
  return { value: "", present: false };
};

const matches = (...filters: string[]): boolean => compileFilters(filters)(object);

function syntaxError(text: string): string {
  try {
    parseFilter(text);
  } catch (error) {
    if (isKind(error, "invalid-argument")) return error.message;
    throw error;
  }
  throw new Error(`${text} was accepted`);
}

describe("filters", () => {
  it("match everything when there are none or one is empty", () => {
    expect(matches()).toBe(true);
    expect(matches("")).toBe(true);
    expect(matches("name==other", "")).toBe(true);
  });

  it.each([
    ["name==alpine", true],
    ["name==other", false],
    ["name", true],
    ["missing", false],
    ["missing==", undefined],
    ['missing==""', false],
    ["missing!=x", true],
    ["name!=alpine", false],
    ["name~=lpi", true],
    ["name~=^lpi", false],
    ["missing~=^$", true],
    ["labels.tier==web,name==alpine", true],
    ["labels.tier==web,name==other", false],
    ["labels.a.b==dotted", true],
    ['labels."a.b"==dotted', true],
    ['labels."example.com/x-y"==slash', true],
    ['"labels"."tier" == "web"', true],
    [" name  ==  alpine , labels . tier ~= w.b ", true],
    ["labels.three~=/[0-9]/", true],
    ["labels.three~=/\\d/", true],
    ["labels.three~=|\\\\d|", true],
    ["labels.three~=/^\\x33$/", true],
    ["name~=/alp,?ine/", true],
    ["name~=|a/|", false],
    ["labels.three!=a=b", true],
    ['labels.three=="\\x33"', true],
    ['labels.three=="\\u0033"', true],
    ['labels.three=="\\063"', true],
    ["labels.three==/3/", false],
    ["name!=é", true],
  ])("%s", (filter, expected) => {
    if (expected === undefined) expect(syntaxError(filter)).toContain("expected a value");
    else expect(matches(filter)).toBe(expected);
  });

  it("are alternatives", () => {
    expect(matches("name==other", "labels.tier==web")).toBe(true);
    expect(matches("name==other", "labels.tier==db")).toBe(false);
  });

  it.each([
    [" ", "position 2: expected a field name"],
    ["name==a,", "position 9: expected a field name"],
    ["name===a", "position 5: unknown operator ==="],
    ["name=a", "position 5: unknown operator ="],
    ["name==a b", 'position 9: expected "," or the end'],
    ["name-x", 'position 5: expected "," or the end'],
    ['name=="a', "position 7: the string that starts here has no closing"],
    ['name~="\\d"', "position 8: unknown escape \\d"],
    ['name=="\\uD800"', "is not a character"],
    ['name=="\\xZZ"', "needs 2 hexadecimal digits"],
    ['name=="a\nb"', "must not span lines"],
    ["name.", "position 6: expected a field name"],
    [",", "position 1: expected a field name"],
  ])("%j is a syntax error", (filter, message) => {
    expect(syntaxError(filter)).toContain(message);
  });

  it("never match a malformed regular expression", () => {
    for (const pattern of ["[", "(?=a)", "(a)\\\\1", "a{2000}", "*"]) expect(matches(`name~="${pattern}"`)).toBe(false);
    expect(matches("name~=[", "name==alpine")).toBe(true);
  });

  it("JS-regex: search hostile expressions in linear time", () => {
    const long: FieldAdaptor = () => ({ value: `${"a".repeat(50_000)}!`, present: true });
    const began = performance.now();
    for (const pattern of ["^(a+)+$", "(a|aa)+$", "(a*)*b", "(.*)(.*)(.*)(.*)[bc]$", "([a-z]+)*\\\\d", "(x+x+)+y"]) {
      expect(compileFilters([`name~="${pattern}"`])(long)).toBe(false);
    }
    expect(performance.now() - began).toBeLessThan(2_000);
  });

  it("JS-prototype: are not fooled by prototype keys", () => {
    expect(matches("labels.__proto__")).toBe(false);
    expect(matches("labels.constructor")).toBe(false);
  });

  it("survive a round trip through text", () => {
    const random = generator(7);
    for (let round = 0; round < 2_000; round++) {
      const filter = randomFilter(random);
      expect(parseFilter(formatFilter(filter))).toEqual(filter);
    }
  });

  it("answer garbage with a filter or a syntax error, never with another error", () => {
    const random = generator(11);
    const alphabet = [...'ab_.,=!~"/|\\ x09U\n\t{é\u{1f600}\u0000'];
    for (let round = 0; round < 20_000; round++) {
      const text = Array.from({ length: random(12) }, () => alphabet[random(alphabet.length)]).join("");
      try {
        compileFilters([text])(object);
      } catch (error) {
        expect(isKind(error, "invalid-argument"), `${JSON.stringify(text)}: ${String(error)}`).toBe(true);
      }
    }
  });
});

/** A small deterministic generator of integers below `limit`. */
function generator(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

function randomFilter(random: (limit: number) => number): Filter {
  const characters = [...'aZ0_.,=!~"/|\\ -\n\t\u0007é漢\u{1f600}\u200b'];
  const text = (least: number): string =>
    Array.from({ length: least + random(6) }, () => characters[random(characters.length)]).join("");
  const operators: FilterOperator[] = ["present", "==", "!=", "~="];
  return {
    selectors: Array.from({ length: 1 + random(3) }, () => {
      const operator = operators[random(4)] ?? "==";
      const path = Array.from({ length: 1 + random(3) }, () => text(1));
      return { path, operator, value: operator === "present" ? "" : text(0) };
    }),
  };
}
