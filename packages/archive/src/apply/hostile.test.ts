import { createHash } from "node:crypto";
import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { ContainerdError } from "@ctrd/core/errors";
import type { TarEntry } from "@ctrd/testkit/fixtures";
import { createRandom, tarBuffer } from "@ctrd/testkit/fixtures";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { applyLayer } from "./apply-layer.ts";
import { cleanPath } from "./paths.ts";

let dir: string;
let root: string;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "ctrd-hostile-"));
  root = join(dir, "outside", "root");
  fs.mkdirSync(join(dir, "outside", "victim"), { recursive: true });
  fs.mkdirSync(root);
  fs.writeFileSync(join(dir, "outside", "victim", "file"), "precious", { mode: 0o600 });
  fs.writeFileSync(join(dir, "outside", "file"), "precious", { mode: 0o600 });
});
afterEach(() => fs.rmSync(dir, { recursive: true }));

/** A digest of all names, contents and attributes but those in the root. */
function outside(): string {
  const hash = createHash("sha256");
  const walk = (path: string): void => {
    if (path === root) return;
    const stat = fs.lstatSync(path, { bigint: true });
    hash.update(`${path} ${stat.mode} ${stat.uid} ${stat.gid} ${stat.nlink} ${stat.mtimeNs} ${stat.size}\n`);
    if (stat.isDirectory()) for (const name of fs.readdirSync(path).sort()) walk(join(path, name));
    else if (stat.isFile()) hash.update(fs.readFileSync(path));
  };
  walk(join(dir, "outside"));
  return hash.digest("hex");
}

async function attempt(entries: TarEntry[], overlay: boolean): Promise<unknown> {
  const path = join(dir, "layer");
  fs.writeFileSync(path, tarBuffer(entries));
  try {
    return await applyLayer({ path, root, overlay });
  } catch (error) {
    expect(error).toBeInstanceOf(ContainerdError);
    return error;
  }
}

const up = "../../../../../../../../..";
const link = (path: string, linkname: string): TarEntry => ({ path, type: "symlink", linkname });

/** Each tries to read, write, chmod, chown, link or delete outside the root. */
const corpus: [string, (victim: string) => TarEntry[]][] = [
  [
    "climbing names",
    (v) => [
      { path: `${up}${v}/file`, data: "x" },
      { path: "../file", data: "x" },
    ],
  ],
  ["absolute names", (v) => [{ path: `${v}/file`, data: "x" }, { path: "//etc/x" }]],
  ["a file through an absolute link", (v) => [link("l", v), { path: "l/file", data: "x" }]],
  ["a file through a climbing link", () => [link("l", "../victim"), { path: "l/file", data: "x" }]],
  [
    "a file through chained links",
    (v) => [link("a", "b/c"), link("b", ".."), link("c", v), { path: "a/file" }, { path: "c/new" }],
  ],
  ["a file over a link", (v) => [link("l", `${v}/file`), { path: "l", data: "x", mode: 0o777 }]],
  [
    "chmod of a directory over a link",
    (v) => [link("l", v), { path: "l/", type: "directory", mode: 0o777, uid: 1000 }],
  ],
  [
    "chmod of a linked directory's child",
    (v) => [link("l", `${v}/..`), { path: "l/victim/", type: "directory", mode: 0o777 }],
  ],
  [
    "chmod through a hard link to a link",
    (v) => [link("l", `${v}/file`), { path: "h", type: "hardlink", linkname: "l", mode: 0o777, uid: 1000 }],
  ],
  [
    "a hard link to an absolute name",
    (v) => [
      { path: "h", type: "hardlink", linkname: `${v}/file` },
      { path: "h", data: "x" },
    ],
  ],
  ["a hard link to a climbing name", () => [{ path: "h", type: "hardlink", linkname: "../victim/file", mode: 0o777 }]],
  [
    "a hard link through a link",
    (v) => [link("l", v), { path: "h", type: "hardlink", linkname: "l/file", mode: 0o777 }],
  ],
  ["a hard link to the root", () => [{ path: "h", type: "hardlink", linkname: "/" }]],
  ["a whiteout through a link", (v) => [link("l", v), { path: "l/.wh.file" }]],
  ["a whiteout that climbs", () => [{ path: ".wh..." }, { path: "../.wh.file" }, { path: ".wh.." }]],
  ["an opaque marker through a link", (v) => [link("l", v), { path: "l/.wh..wh..opq" }]],
  ["a climbing opaque marker", () => [{ path: "../victim/.wh..wh..opq" }]],
  [
    "devices and fifos through a link",
    (v) => [link("l", v), { path: "l/null", type: "char", devMajor: 1, devMinor: 3 }, { path: "l/f", type: "fifo" }],
  ],
  [
    "a device over a link",
    (v) => [link("l", `${v}/file`), { path: "l", type: "char", devMajor: 1, devMinor: 3, mode: 0o777 }],
  ],
  ["xattrs over a link", (v) => [link("l", `${v}/file`), { path: "l", xattrs: { "user.x": "y" } }]],
  ["the root itself as a link", (v) => [link(".", v), link("..", v), link("/", v), { path: "file", data: "x" }]],
  [
    "a directory replaced by a link after its children",
    (v) => [
      { path: "d/", type: "directory" },
      { path: "d/x" },
      link("d", v),
      { path: "d/file", data: "x" },
      { path: "d/", type: "directory", mode: 0o777 },
    ],
  ],
  [
    "a parent replaced by a link",
    (v) => [{ path: "d/e/x" }, { path: ".wh.d" }, link("d", `${v}/..`), { path: "d/victim/file", data: "x" }],
  ],
  ["/proc's magic links", () => [link("l", "/proc/self/root/tmp"), { path: "l/ctrd-hostile-magic", data: "x" }]],
  ["loops", () => [link("a", "b"), link("b", "a"), { path: "a/x" }]],
];

describe.each([false, true])("CVE-2021-32760 corpus, overlay: %s", (overlay) => {
  it.each(corpus)("%s changes nothing outside", async (_, entries) => {
    const before = outside();
    // As seen from inside the victim's path is one in the root.
    for (const victim of [join(dir, "outside", "victim"), "/../victim", "../victim"]) {
      await attempt(entries(victim), overlay);
      expect(outside()).toBe(before);
    }
    expect(fs.existsSync("/tmp/ctrd-hostile-magic")).toBe(false);
  });
});

describe("mutated layers", () => {
  it("change nothing outside and end in an answer", async () => {
    const random = createRandom(5);
    const before = outside();
    const seeds = corpus.map(([, entries]) => tarBuffer(entries(join(dir, "outside", "victim"))));
    let refused = 0;
    for (let round = 0; round < 400; round++) {
      const tar = Buffer.from(seeds[round % seeds.length] as Buffer);
      for (let change = 0; change < 3; change++) {
        const block = 512 * Math.floor((random() * (tar.length - 1024)) / 512);
        // In the name, the link name, the type or a number.
        const field = [0, 157, 156, 100, 124][Math.floor(random() * 5)] ?? 0;
        tar[block + field + Math.floor(random() * 6)] = ("./.wh.0175\0\xff".codePointAt(random() * 12) ?? 0) & 0xff;
        tar.fill(0x20, block + 148, block + 156);
        const sum = tar.subarray(block, block + 512).reduce((total, byte) => total + byte, 0);
        tar.write(`${sum.toString(8).padStart(6, "0")}\0 `, block + 148, "latin1");
      }
      fs.writeFileSync(join(dir, "layer"), tar);
      try {
        await applyLayer({ path: join(dir, "layer"), root, overlay: round % 2 === 0 });
      } catch (error) {
        expect(error).toBeInstanceOf(ContainerdError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(50);
    expect(outside()).toBe(before);
  });
});

describe("CVE-2024-40635 owners", () => {
  it.each(["4294967295", "4294967296", "2147483648000", "-1"])("%s is refused, not wrapped", async (id) => {
    const error = await attempt([{ path: "file", pax: { uid: id } }], false);
    expect(String(error)).toMatch(/apply layer: entry "file": .*owner .* is out of range/);
    expect(fs.readdirSync(root)).toEqual([]);
  });

  it.each([
    [4096, 0],
    [0, 1 << 20],
  ])("device %i:%i is refused, not wrapped", async (devMajor, devMinor) => {
    const error = await attempt([{ path: "dev", type: "char", devMajor, devMinor }], false);
    expect(String(error)).toMatch(/entry "dev": .*device .* is out of range/);
  });
});

describe("CVE-2025-47290 races", () => {
  it("a directory swapped for a link to outside all the time lets nothing out", async () => {
    const before = outside();
    fs.mkdirSync(join(root, "d"));
    fs.symlinkSync("../victim", join(root, "evil"));
    const shared = new Int32Array(new SharedArrayBuffer(8));
    const racer = new Worker(racerCode, {
      eval: true,
      execArgv: ["--conditions=ctrd-source"],
      workerData: { sys: new URL("../../../sys/src/index.ts", import.meta.url).href, root, shared },
    });
    while (Atomics.load(shared, 1) === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const entries = Array.from({ length: 300 }, (_, index): TarEntry[] => [
      { path: `d/new-${index}`, data: "x", mode: 0o777 },
      { path: "d/file", data: "x", mode: 0o777 },
      { path: "d/", type: "directory", mode: 0o777, uid: 1000 },
      { path: "d/.wh.file" },
      { path: "d/fifo", type: "fifo", mode: 0o777 },
      { path: "d/.wh..wh..opq" },
    ]).flat();
    const outcomes = new Set<string>();
    const until = performance.now() + 3000;
    while (performance.now() < until) {
      const outcome = await attempt(entries, false);
      outcomes.add(outcome instanceof ContainerdError ? "error" : "applied");
      expect(outside()).toBe(before);
    }
    Atomics.store(shared, 0, 1);
    await once(racer, "exit");
    expect(Atomics.load(shared, 1)).toBeGreaterThan(1000);
    expect(outcomes.size).toBeGreaterThan(0);
  });
});

const racerCode = `
  const { workerData: { sys, root, shared } } = require("node:worker_threads");
  import(sys).then(({ renameat2, AT_FDCWD, RenameFlag }) => {
    while (Atomics.load(shared, 0) === 0) {
      try { renameat2(AT_FDCWD, root + "/d", AT_FDCWD, root + "/evil", RenameFlag.Exchange); }
      catch (error) { if (error.code !== "ENOENT") throw error; }
      Atomics.add(shared, 1, 1);
    }
  });`;

describe("cleanPath", () => {
  it.each([
    ["a/b", "a/b"],
    ["./a/./b/", "a/b"],
    ["/a//b", "a/b"],
    ["../../a", "a"],
    ["a/../../b", "b"],
    ["a/b/..", "a"],
    [".", ""],
    ["/", ""],
    ["", ""],
    ["...", "..."],
    ["a/..b/.c", "a/..b/.c"],
  ])("%s is %s", (path, clean) => {
    expect(cleanPath(path)).toBe(clean);
  });
});

describe("links and names that cannot be made", () => {
  it("a user's attribute of a link is left out", async () => {
    const record = { path: "x", type: "x", data: "24 SCHILY.xattr.user.x=\n" };
    const entries = [record, { path: "link", type: "symlink", linkname: "a" }];
    expect(await attempt(entries, false)).toMatchObject({ entries: 1 });
  });

  it.each<[string, TarEntry[]]>([
    ["a hard link to nothing", [{ path: "hard", type: "hardlink", linkname: "none" }]],
    ["a hard link below a file", [{ path: "f" }, { path: "hard", type: "hardlink", linkname: "f/x" }]],
    [
      "a hard link to a directory",
      [
        { path: "d", type: "directory" },
        { path: "hard", type: "hardlink", linkname: "d" },
      ],
    ],
    ["a name that is too long", [{ path: "n".repeat(300) }]],
    ["an extended attribute without a name", [{ path: "x", type: "x", data: "18 SCHILY.xattr.=\n" }, { path: "f" }]],
  ])("%s is the archive's fault", async (_, entries) => {
    expect(await attempt(entries, false)).toMatchObject({ kind: "invalid-argument" });
  });
});
