import { describe, expect, it } from "vitest";
import { codeFromKind, ContainerdError, errnoOf, isKind, kindFromCode, kindOf, notFound } from "./errors.ts";

describe("ContainerdError", () => {
  it("ends its message with the text of its kind, once", () => {
    expect(notFound('image "x"').message).toBe('image "x": not found');
    expect(notFound('image "x": not found').message).toBe('image "x": not found');
    expect(new ContainerdError("unknown", "odd").message).toBe("odd");
  });

  it("maps kinds to codes and back", () => {
    for (let code = 1; code <= 16; code++) expect(codeFromKind(kindFromCode(code))).toBe(code);
    expect(kindFromCode(99)).toBe("unknown");
  });

  it("knows the kind of foreign errors", () => {
    expect(isKind(notFound("x"), "not-found")).toBe(true);
    expect(kindOf(new DOMException("gone", "AbortError"))).toBe("canceled");
    expect(kindOf(new Error("?"))).toBe("unknown");
    expect(errnoOf(Object.assign(new Error("no"), { code: "ENOENT" }))).toBe("ENOENT");
    expect(errnoOf(Object.assign(new Error("no"), { code: "ERR_X" }))).toBeUndefined();
  });
});
