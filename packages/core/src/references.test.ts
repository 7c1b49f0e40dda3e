import { describe, expect, it } from "vitest";
import { completeReference, formatReference, parseReference, shortReference } from "./references.ts";

const digest = `sha256:${"0".repeat(64)}`;

describe("parseReference", () => {
  it.each([
    ["docker.io/library/busybox:1", { host: "docker.io", repository: "library/busybox", tag: "1", digest: "" }],
    [`localhost:5000/a/b/c@${digest}`, { host: "localhost:5000", repository: "a/b/c", tag: "", digest }],
    [`[::1]:5000/a:v1.0@${digest}`, { host: "[::1]:5000", repository: "a", tag: "v1.0", digest }],
  ])("takes %s apart and puts it together", (text, parts) => {
    expect(parseReference(text)).toEqual(parts);
    expect(formatReference(parts)).toBe(text);
  });

  it.each([
    ["busybox", "has no host"],
    ["host/", "not the path of a repository"],
    ["host/Upper", "not the path of a repository"],
    ["host/a:", "not a tag"],
    ["host/a@sha256:1", "not a digest"],
    ["host/a@x@y", "more than one @"],
    ["ho st/a", "not a host"],
    ["host/../../etc:1", "not the path of a repository"],
    [`host/${"a".repeat(5000)}`, "longer than"],
  ])("refuses %s", (text, message) => {
    expect(() => parseReference(text)).toThrow(message);
  });
});

describe("completeReference", () => {
  it.each([
    ["busybox", "docker.io/library/busybox:latest"],
    ["user/app:2", "docker.io/user/app:2"],
    ["index.docker.io/busybox", "docker.io/library/busybox:latest"],
    ["localhost/a", "localhost/a:latest"],
    ["127.0.0.1:5000/a:1", "127.0.0.1:5000/a:1"],
    [`busybox@${digest}`, `docker.io/library/busybox@${digest}`],
  ])("%s is %s", (text, full) => {
    expect(completeReference(text)).toBe(full);
  });
});

it("shortens what Docker shortens", () => {
  expect(shortReference("docker.io/library/busybox:1")).toBe("busybox:1");
  expect(shortReference("docker.io/user/app:1")).toBe("user/app:1");
  expect(shortReference("ghcr.io/library/app:1")).toBe("ghcr.io/library/app:1");
  // Without the host these would be images of another one.
  for (const text of ["docker.io/ghcr.io/app:1", "docker.io/localhost/app:1", "docker.io/library/docker.io/app:1"]) {
    expect(completeReference(shortReference(text))).toBe(text);
  }
});

it("JS-regex: answers to hostile references in linear time", () => {
  const began = performance.now();
  const parts = ["a", "a-", "a.", "a__", "a/", "a:", "a@", "[::", "A-", "sha256:", "é"];
  // The longest that is looked at, and far beyond it.
  for (const [part, length] of parts.flatMap((part) => [[part, 4_050] as const, [part, 500_000] as const])) {
    for (const end of ["", "!", ":", "@sha256:", "/"]) {
      for (const front of ["", "registry.test/", "[::1]:5000/"]) {
        const text = `${front}${part.repeat(length / part.length)}${end}`;
        for (const read of [parseReference, completeReference, shortReference]) {
          try {
            read(text);
          } catch (error) {
            expect(error).toMatchObject({ kind: "invalid-argument" });
          }
        }
      }
    }
  }
  expect(performance.now() - began).toBeLessThan(5_000);
});
