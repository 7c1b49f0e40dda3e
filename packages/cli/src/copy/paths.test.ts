import { describe, expect, it } from "vitest";
import { parsePlace, targetOf } from "./paths.ts";

describe("parsePlace", () => {
  it("tells streams, paths of this machine and paths of containers apart", () => {
    expect(parsePlace("-")).toEqual({ kind: "stream" });
    expect(parsePlace("web:/etc")).toEqual({ kind: "container", container: "web", path: "/etc" });
    expect(parsePlace("web:a:b")).toEqual({ kind: "container", container: "web", path: "a:b" });
    for (const path of ["./web:/etc", "/a:b", "file"]) expect(parsePlace(path)).toEqual({ kind: "local", path });
    for (const text of ["", "web:", ":/etc"]) expect(() => parsePlace(text)).toThrow("cp:");
  });
});

describe("targetOf", () => {
  const file = { path: "/a/file", isDirectory: false };
  const directory = { path: "/a/dir", isDirectory: true };
  const contents = { path: "/a/dir/.", isDirectory: true };

  it.each([
    [file, "/t", "directory", "/t", "file"],
    [file, "/t/new", "absent", "/t", "new"],
    [file, "../new", "absent", "..", "new"],
    [file, "new", "absent", ".", "new"],
    [file, "/t/old", "other", "/t", "old"],
    [directory, "/t", "directory", "/t", "dir"],
    [{ path: "/a/dir/", isDirectory: true }, "/t/", "directory", "/t/", "dir"],
    [contents, "/t", "directory", "/t", ""],
    [{ path: ".", isDirectory: true }, "/t", "directory", "/t", ""],
    [{ path: "/", isDirectory: true }, "/t", "directory", "/t", ""],
    [directory, "/t/new", "absent", "/t", "new"],
    [directory, "/t/new/", "absent", "/t", "new"],
    [contents, "/t/new", "absent", "/t", "new"],
  ] as const)("%o to %s, which is %s: in %s as %s", (source, path, kind, where, name) => {
    expect(targetOf(source, path, kind)).toEqual({ directory: where, name });
  });

  it("refuses what does not fit", () => {
    expect(() => targetOf(directory, "/t", "other")).toThrow("not a directory");
    expect(() => targetOf(file, "/t/", "other")).toThrow("not a directory");
    expect(() => targetOf(file, "/t/", "absent")).toThrow("no directory");
  });
});
