import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, expect, it } from "vitest";
import { AT_FDCWD, close, mkdirat, openat, OpenFlag, removeTreeAt } from "./index.ts";
import type * as sys from "./index.ts";

let dir: string;
beforeEach(() => (dir = fs.mkdtempSync(join(tmpdir(), "ctrd-remove-"))));
afterEach(() => removeTreeAt(AT_FDCWD, dir));

const descriptors = (): number => fs.readdirSync("/proc/self/fd").length;

it("removes files, links, devices and odd names; what is not there is fine", () => {
  fs.mkdirSync(join(dir, "tree/sub"), { recursive: true });
  fs.mkdirSync(join(dir, "outside"));
  fs.writeFileSync(join(dir, "outside/file"), "");
  fs.writeFileSync(Buffer.concat([Buffer.from(`${dir}/tree/sub/`), Buffer.from([0xff, 0xfe])]), "");
  fs.symlinkSync(join(dir, "outside"), join(dir, "tree/link"));
  const before = descriptors();
  const fd = openat(AT_FDCWD, dir, OpenFlag.Path | OpenFlag.Directory);
  removeTreeAt(fd, "tree");
  removeTreeAt(fd, "tree");
  close(fd);
  expect(fs.readdirSync(dir)).toEqual(["outside"]);
  expect(fs.readdirSync(join(dir, "outside"))).toEqual(["file"]);
  expect(descriptors()).toBe(before);
});

it("removes trees of any depth with few descriptors", () => {
  fs.mkdirSync(join(dir, "tree"));
  let fd = openat(AT_FDCWD, join(dir, "tree"), OpenFlag.Path | OpenFlag.Directory);
  const name = "d".repeat(200);
  for (let depth = 0; depth < 1500; depth++) {
    mkdirat(fd, name, 0o755);
    mkdirat(fd, "beside", 0o755);
    const inner = openat(fd, name, OpenFlag.Path | OpenFlag.Directory);
    close(fd);
    fd = inner;
  }
  close(fd);
  const before = descriptors();
  removeTreeAt(AT_FDCWD, join(dir, "tree"));
  expect(fs.readdirSync(dir)).toEqual([]);
  expect(descriptors()).toBe(before);
});

it("tells the errno of what cannot be removed", () => {
  fs.mkdirSync(join(dir, "tree"));
  fs.writeFileSync(join(dir, "tree/file"), "");
  expect(() => removeTreeAt(AT_FDCWD, join(dir, "tree/file/below"))).toThrow(/ENOTDIR/);
});

it("does not follow a symbolic link that takes the place of a directory", async () => {
  fs.mkdirSync(join(dir, "victim"));
  fs.writeFileSync(join(dir, "victim/precious"), "");
  const shared = new Int32Array(new SharedArrayBuffer(8));
  const module = new URL("./index.ts", import.meta.url).href;
  const racer = new Worker(racerCode, {
    eval: true,
    execArgv: ["--conditions=ctrd-source"],
    workerData: { module, dir, shared },
  });
  while (Atomics.load(shared, 1) === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const until = performance.now() + 2000;
  while (performance.now() < until && fs.existsSync(join(dir, "victim/precious"))) {
    fs.mkdirSync(join(dir, "tree/d"), { recursive: true });
    fs.symlinkSync("../victim", join(dir, "tree/evil"));
    while (fs.existsSync(join(dir, "tree"))) {
      try {
        removeTreeAt(AT_FDCWD, join(dir, "tree"));
      } catch (error) {
        // What the racer has put in the place of an emptied directory.
        expect((error as sys.SysError).code).toMatch(/^(ENOTEMPTY|ENOTDIR)$/);
      }
    }
  }
  Atomics.store(shared, 0, 1);
  await once(racer, "exit");
  expect(fs.readdirSync(join(dir, "victim"))).toEqual(["precious"]);
  expect(Atomics.load(shared, 1)).toBeGreaterThan(1000);
});

const racerCode = `
  const { workerData: { module, dir, shared } } = require("node:worker_threads");
  import(module).then(({ renameat2, AT_FDCWD, RenameFlag }) => {
    while (Atomics.load(shared, 0) === 0) {
      try { renameat2(AT_FDCWD, dir + "/tree/d", AT_FDCWD, dir + "/tree/evil", RenameFlag.Exchange); }
      catch (error) { if (error.code !== "ENOENT") throw error; }
      Atomics.add(shared, 1, 1);
    }
  });`;
