import { describe, expect, it } from "vitest";
import { checkIdentifier } from "./identifiers.ts";
import { isKind } from "./errors.ts";

describe("checkIdentifier", () => {
  it.each(["a", "default", "k8s.io", "a-b_c.d", "0", "x".repeat(76)])("accepts %j", (value) => {
    checkIdentifier("namespace", value);
  });

  it.each([
    ["", "namespace must not be empty"],
    ["x".repeat(77), "has 77 characters"],
    ["a..b", "must match"],
    [".a", "must match"],
    ["a-", "must match"],
    ["a/b", "must match"],
    ["a b", "must match"],
    ["é", "must match"],
    ["../etc", "must match"],
    ["a\n", "must match"],
  ])("refuses %j", (value, message) => {
    let caught: unknown;
    try {
      checkIdentifier("namespace", value);
    } catch (error) {
      caught = error;
    }
    expect(isKind(caught, "invalid-argument")).toBe(true);
    expect(String(caught)).toContain(message);
  });

  it("is linear on hostile input", () => {
    const began = performance.now();
    expect(() => checkIdentifier("id", `${"a".repeat(75)}!`)).toThrow("must match");
    expect(performance.now() - began).toBeLessThan(200);
  });
});
