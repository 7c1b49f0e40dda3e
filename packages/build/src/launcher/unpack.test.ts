import { execFile } from "node:child_process";
import { hash } from "node:crypto";
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { bundleDirectory } from "./index-of-files.ts";
import { cacheDirectories } from "./private-directory.ts";
import type { Cargo } from "./unpack.ts";
import { unpack } from "./unpack.ts";

const uid = process.getuid?.() ?? 0;
const content: Readonly<Record<string, string>> = { "main.js": "1 + 1", "lib/data": "some data" };
const files = Object.entries(content).map(([path, text]) => ({
  ...{ path, size: text.length, sha256: hash("sha256", text) },
}));
const cargo: Cargo = { index: JSON.stringify(files), read: (path) => Buffer.from(content[path] ?? "") };

let directory: string;
let cache: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ctrd-unpack-"));
  cache = join(directory, "cache/ctrd");
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Unpacks, and expects all of it to be there, for its owner only, and nothing else. */
function expectUnpacked(...directories: string[]): string {
  const target = unpack(cargo, directories.length === 0 ? [cache] : directories, uid);
  for (const [path, text] of Object.entries(content)) {
    expect(readFileSync(join(target, bundleDirectory, path), "utf8")).toBe(text);
  }
  expect(statSync(target).mode & 0o777).toBe(0o700);
  expect(readdirSync(join(target, ".."))).toEqual([`sea-${hash("sha256", cargo.index)}`]);
  return target;
}

describe("unpacking", () => {
  it("happens once", () => {
    const target = expectUnpacked();
    const before = statSync(join(target, bundleDirectory, "main.js"));
    expectUnpacked();
    expect(statSync(join(target, bundleDirectory, "main.js"))).toMatchObject({ ino: before.ino });
  });

  it.each([
    ["other content", (path: string) => writeFileSync(path, "2 + 2")],
    ["a missing file", (path: string) => rmSync(path)],
    [
      "a link to the same content",
      (path: string) => {
        writeFileSync(join(directory, "elsewhere"), "1 + 1");
        rmSync(path);
        symlinkSync(join(directory, "elsewhere"), path);
      },
    ],
  ])("repairs %s", (_name, damage) => {
    damage(join(expectUnpacked(), bundleDirectory, "main.js"));
    expectUnpacked();
  });

  it("replaces a directory that others could read or write", () => {
    const target = expectUnpacked();
    chmodSync(target, 0o755);
    expectUnpacked();
  });

  it("is done by many processes at the same time", async () => {
    const code = `
      const { unpack } = await import(${JSON.stringify(new URL("./unpack.ts", import.meta.url).href)});
      const content = ${JSON.stringify(content)};
      const cargo = { index: ${JSON.stringify(cargo.index)}, read: (path) => Buffer.from(content[path]) };
      console.log(unpack(cargo, [${JSON.stringify(cache)}], ${uid}));`;
    const args = ["--input-type=module", "--disable-warning=ExperimentalWarning", "--eval", code];
    const runs = await Promise.all([1, 2, 3, 4].map(() => promisify(execFile)(process.execPath, args)));
    expect(new Set(runs.map(({ stdout }) => stdout)).size).toBe(1);
    expectUnpacked();
  });

  it("refuses a directory below one that others can write to, and takes the next", () => {
    const open = join(directory, "open");
    mkdirSync(open);
    chmodSync(open, 0o777);
    expect(() => unpack(cargo, [join(open, "ctrd")], uid)).toThrow(
      `nowhere to unpack this executable (${open} is writable by others (mode 777)); set XDG_CACHE_HOME to a directory that only this user can write to`,
    );
    expectUnpacked(join(open, "ctrd"), cache);
    expect(existsSync(join(open, "ctrd"))).toBe(true);
    expect(readdirSync(join(open, "ctrd"))).toEqual([]);
  });

  it("refuses a directory of another user, and replaces what another has put there", ({ skip }) => {
    skip(uid !== 0, "needs root to give a directory away");
    const foreign = join(directory, "foreign");
    mkdirSync(foreign);
    chownSync(foreign, 12_345, 12_345);
    expect(() => unpack(cargo, [join(foreign, "ctrd")], uid)).toThrow(`${foreign} belongs to user 12345`);
    const target = expectUnpacked();
    chownSync(target, 12_345, 12_345);
    expectUnpacked();
  });
});

describe("cache directories", () => {
  it.each([
    [{}, 0, ["/var/cache/ctrd", "/run/ctrd"]],
    [{ XDG_CACHE_HOME: "/x" }, 0, ["/x/ctrd"]],
    [{ XDG_CACHE_HOME: "relative" }, 0, ["/var/cache/ctrd", "/run/ctrd"]],
  ])("of %j for user %d", (environment, user, expected) => {
    expect(cacheDirectories(environment, user)).toEqual(expected);
  });

  it("of other users are below their home, or of their session", () => {
    expect(cacheDirectories({ XDG_RUNTIME_DIR: "/run/user/7" }, 7)).toEqual([
      expect.stringMatching(/\/\.cache\/ctrd$/),
      "/run/user/7/ctrd",
    ]);
  });
});
