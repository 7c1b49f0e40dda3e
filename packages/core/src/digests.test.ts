import { describe, expect, it } from "vitest";
import { digestOf, emptyDigest, isDigest, parseDigest } from "./digests.ts";

const malformed = [
  "",
  "sha256",
  "sha256:",
  "sha256:12",
  `md5:${"0".repeat(32)}`,
  emptyDigest.toUpperCase(),
  `${emptyDigest}0`,
  `sha256:${"g".repeat(64)}`,
  `sha256:${"../".repeat(21)}a`,
];

describe("digests", () => {
  it("takes a digest apart", () => {
    expect(parseDigest(emptyDigest)).toEqual({ algorithm: "sha256", hex: emptyDigest.slice(7) });
    expect(parseDigest(`sha512:${"a".repeat(128)}`).algorithm).toBe("sha512");
    expect(isDigest(`sha384:${"a".repeat(96)}`)).toBe(true);
  });

  it.each(malformed)("refuses %j", (digest) => {
    expect(isDigest(digest)).toBe(false);
    expect(() => parseDigest(digest)).toThrow("invalid argument");
  });

  it("hashes", () => {
    expect(digestOf("")).toBe(emptyDigest);
    expect(digestOf(new Uint8Array())).toBe(emptyDigest);
    expect(digestOf("a")).not.toBe(emptyDigest);
  });
});
