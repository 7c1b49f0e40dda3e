import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { copyUp } from "./copy-up.ts";
import { parseMounts } from "./mounts.ts";
import type { Volume } from "./store.ts";
import { VolumeStore } from "./store.ts";

let directory: string;
let store: VolumeStore;
const { signal } = new AbortController();
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "ctrd-volumes-"));
  store = new VolumeStore(path("root"), "default", "/run/d.sock");
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const path = (...names: string[]): string => join(directory, ...names);
const volume = async (name?: string): Promise<Volume> => (await store.create(name)).volume;

describe("the store", () => {
  test("a volume is where nerdctl has it, is made once, and goes with all that it holds", async () => {
    const made = await store.create("data", { a: "b" });
    expect(made).toMatchObject({ isNew: true, volume: { name: "data", isAnonymous: false, labels: { a: "b" } } });
    expect(made.volume.data).toBe(path("root/volumes/default/data/_data"));
    writeFileSync(join(made.volume.data, "file"), "kept");
    expect(await store.create("data")).toEqual({ isNew: false, volume: made.volume });
    expect(readFileSync(join(made.volume.data, "file"), "utf8")).toBe("kept");
    mkdirSync(path("outside"));
    writeFileSync(path("outside/file"), "");
    symlinkSync(path("outside"), join(made.volume.data, "link"));
    await store.remove("data");
    expect(await store.list()).toEqual([]);
    expect(readdirSync(store.directory)).toEqual([]);
    expect(existsSync(path("outside/file"))).toBe(true);
    await expect(store.remove("data")).rejects.toThrow('no volume "data"');
  });

  test("of volumes made at the same time there is one; those without a name are different", async () => {
    const made = await Promise.all(Array.from({ length: 8 }, () => store.create("one")));
    expect(made.filter(({ isNew }) => isNew)).toHaveLength(1);
    const [a, b] = [await volume(), await volume()];
    expect(a.name).toMatch(/^[0-9a-f]{64}$/);
    expect(a.name).not.toBe(b.name);
    expect(a.isAnonymous).toBe(true);
    expect((await store.list()).map(({ name }) => name)).toEqual([a.name, b.name, "one"].toSorted());
    expect(readdirSync(store.directory).filter((name) => name.startsWith("."))).toEqual([]);
  });

  test("names that are paths are refused", async () => {
    for (const name of ["..", "a/b", "", ".hidden", "-x", "a\0b"]) {
      await expect(store.create(name)).rejects.toThrow("volume");
    }
    expect(await store.list()).toEqual([]);
  });

  test("a path of the host tells its volume", async () => {
    const { data } = await volume("v");
    expect(store.nameOf(data)).toBe("v");
    expect(store.nameOf(join(data, "sub"))).toBe("v");
    for (const other of [path("root"), store.directory, join(data, ".."), `${store.directory}-other/v/_data`]) {
      expect(store.nameOf(other)).toBeUndefined();
    }
  });

  test("an exclusive lock waits for shared ones, and for no longer than it is wanted", async () => {
    const shared = await store.lock("shared", signal);
    await (await store.lock("shared", signal))[Symbol.asyncDispose]();
    await expect(store.lock("exclusive", AbortSignal.timeout(150))).rejects.toThrow();
    const waiting = store.lock("exclusive", signal);
    await shared[Symbol.asyncDispose]();
    await (await waiting)[Symbol.asyncDispose]();
  });
});

describe("filling a volume", () => {
  const rootfs = (...names: string[]): string => path("rootfs", ...names);
  const fill = async (at: string, aborted = signal): Promise<string> => {
    const { data } = await volume("v");
    await copyUp({ rootfs: rootfs(), path: at, data }, aborted);
    return data;
  };
  beforeEach(() => mkdirSync(rootfs("srv/data/sub"), { recursive: true }));

  test("all is copied as it is, owner and mode of the directory too", async () => {
    writeFileSync(rootfs("srv/data/sub/file"), "text", { mode: 0o640 });
    symlinkSync("/etc/passwd", rootfs("srv/data/link"));
    chownSync(rootfs("srv/data"), 33, 44);
    chmodSync(rootfs("srv/data"), 0o2750);
    const data = await fill("/srv/data");
    expect(readdirSync(data)).toEqual(["link", "sub"]);
    expect(readFileSync(join(data, "sub/file"), "utf8")).toBe("text");
    expect(statSync(join(data, "sub/file")).mode & 0o7777).toBe(0o640);
    expect(readlinkSync(join(data, "link"))).toBe("/etc/passwd");
    expect(statSync(data)).toMatchObject({ uid: 33, gid: 44, mode: 0o42750 });
    expect(readdirSync(join(data, ".."))).toEqual(["_data", "volume.json"]);
  });

  test("what the image does not have, or has as a file, leaves it empty", async () => {
    writeFileSync(rootfs("srv/file"), "");
    for (const at of ["/srv/none", "/srv/file", "/srv/file/sub"]) expect(readdirSync(await fill(at))).toEqual([]);
  });

  test("a copy that is broken off leaves nothing", async () => {
    await expect(fill("/srv/data", AbortSignal.abort())).rejects.toThrow("abort");
    const { data } = await volume("v");
    expect(readdirSync(join(data, ".."))).toEqual(["_data", "volume.json"]);
  });

  test("CVE-2022-23648: no path and no link of an image leads to files of the host", async () => {
    mkdirSync(path("host"));
    writeFileSync(path("host/secret"), "secret");
    mkdirSync(rootfs("etc"));
    writeFileSync(rootfs("etc/inside"), "");
    symlinkSync(path("host"), rootfs("absolute"));
    symlinkSync("../../../../../../../..", rootfs("up"));
    symlinkSync("absolute", rootfs("twice"));
    symlinkSync("loop", rootfs("loop"));
    symlinkSync("/proc/self/root", rootfs("magic"));
    mkdirSync(rootfs("proc/self"), { recursive: true });
    symlinkSync("/", rootfs("proc/self/root"));
    const seen = async (at: string): Promise<string[]> => {
      const data = await fill(at);
      const names = readdirSync(data, { recursive: true }).map(String);
      expect(names.filter((name) => name.includes("secret"))).toEqual([]);
      await store.remove("v");
      return names;
    };
    for (const at of ["/absolute", "/twice", "/loop", `/../..${path("host")}`, `/up${path("host")}`]) {
      expect(await seen(at)).toEqual([]);
    }
    expect(await seen("/../../etc")).toEqual(["inside"]);
    expect(await seen("/up/etc")).toEqual(["inside"]);
    // The root of the image, not that of the host.
    expect(await seen("/magic/etc")).toEqual(["inside"]);
    // A link inside what is copied is copied and not followed.
    symlinkSync(path("host"), rootfs("etc/link"));
    const data = await fill("/etc");
    expect(lstatSync(join(data, "link")).isSymbolicLink()).toBe(true);
    expect(readFileSync(path("host/secret"), "utf8")).toBe("secret");
  });
});

describe("flags", () => {
  test("directories, volumes and memory", async () => {
    expect(await parseMounts({ volume: [`${directory}:/a/:ro,rslave`, "v:/b:ro,nocopy", "/c", "w:/d"] })).toEqual([
      { type: "bind", source: directory, destination: "/a", options: ["rbind", "ro", "rslave"] },
      { volume: "v", destination: "/b", readonly: true, copy: false, options: [] },
      { volume: undefined, destination: "/c", readonly: false, copy: true, options: [] },
      { volume: "w", destination: "/d", readonly: false, copy: true, options: [] },
    ]);
    const mount = [
      `type=bind,src=${directory},dst=/a,readonly,bind-propagation=shared`,
      "type=volume,source=v,target=/b,readonly=true,volume-nocopy",
      "target=/c",
      "type=tmpfs,target=/d,tmpfs-size=1m,tmpfs-mode=1777",
    ];
    expect(await parseMounts({ mount, tmpfs: ["/e:size=64k,mode=700,exec"] })).toEqual([
      { type: "bind", source: directory, destination: "/a", options: ["rbind", "ro", "shared"] },
      { volume: "v", destination: "/b", readonly: true, copy: false, options: [] },
      { volume: undefined, destination: "/c", readonly: false, copy: true, options: [] },
      expect.objectContaining({ destination: "/d", options: expect.arrayContaining(["mode=1777", "size=1048576"]) }),
      expect.objectContaining({ destination: "/e", options: ["exec", "mode=700", "size=65536"] }),
    ]);
  });

  test("a directory that is not there is made", async () => {
    await parseMounts({ volume: [`${path("new/deep")}:/a`] });
    expect(statSync(path("new/deep")).isDirectory()).toBe(true);
  });

  test.each([
    [{ volume: ["v:relative"] }, "-v v:relative"],
    [{ volume: ["v:/a:odd"] }, 'unknown option "odd"'],
    [{ volume: ["a:b:c:d"] }, "-v needs"],
    [{ volume: [":/a"] }, "-v needs"],
    [{ volume: ["a..b/c:/a"] }, "-v a..b/c:/a"],
    [{ volume: ["v:/"] }, "-v v:/"],
    [{ volume: ["v:/a"], tmpfs: ["/a/"] }, "/a is mounted twice"],
    [{ volume: ["v:/a"], mount: ["type=volume,source=w,target=/b/../a"] }, "/a is mounted twice"],
    [{ mount: ["type=bind,target=/a"] }, "needs a source"],
    [{ mount: ["type=npipe,source=a,target=/a"] }, "type is bind, volume or tmpfs"],
    [{ mount: ["type=volume,source=v"] }, "no target"],
    [{ mount: ["type=tmpfs,source=a,target=/a"] }, "source does not go with type tmpfs"],
    [{ mount: ["type=volume,target=/a,constructor=1"] }, 'unknown field "constructor"'],
    [{ tmpfs: ["/a:mode=9"] }, "--tmpfs mode"],
    [{ tmpfs: ["/a:size=much"] }, "--tmpfs size"],
  ])("%j is refused and named", async (flags, text) => {
    await expect(parseMounts(flags)).rejects.toThrow(text);
  });
});
