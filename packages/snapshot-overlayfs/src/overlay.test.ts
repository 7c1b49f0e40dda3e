import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createContext } from "@ctrd/core/context";
import type { Logger, LogFields } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import type { InitContext } from "@ctrd/core/plugin";
import { SkipPlugin } from "@ctrd/core/plugin";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { mountAll, readMountInfo, unmountAll } from "@ctrd/sys";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { OverlayConfig, OverlayOptions } from "./index.ts";
import { openOverlaySnapshotter, overlayConfig, probeOverlay, upperdirLabel } from "./index.ts";
import plugin from "./plugin.ts";

const ctx = createContext({ namespace: "test" });
let directory: string;
let root: string;
const open: Snapshotter[] = [];

function openSnapshotter(options: Partial<OverlayOptions> = {}): Snapshotter {
  const probe = probeOverlay(root);
  if (!probe.supported) throw new Error(probe.reason);
  const snapshotter = openOverlaySnapshotter(root, { features: probe.features, ...options });
  open.push(snapshotter);
  return snapshotter;
}

/** A logger that keeps its lines. */
function recordingLogger(): { log: Logger; lines: { fields: LogFields; message: string }[] } {
  const lines: { fields: LogFields; message: string }[] = [];
  const record = (fields: LogFields, message: string): void => void lines.push({ fields, message });
  return { log: { ...silentLogger, warn: record, error: record }, lines };
}

const mode = (path: string): string => (statSync(path).mode & 0o7777).toString(8);
const snapshots = (...parts: string[]): string => join(root, "snapshots", ...parts);

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "overlay-test-"));
  root = join(directory, "io.containerd.snapshotter.v1.overlayfs");
});

afterEach(async () => {
  for (const snapshotter of open.splice(0)) await snapshotter.close();
  expect(readMountInfo().filter(({ mountPoint }) => mountPoint.startsWith(directory))).toEqual([]);
  rmSync(directory, { recursive: true, force: true });
});

describe("files", () => {
  it("have the modes of the contract whatever the umask, and open trees are closed", async () => {
    mkdirSync(snapshots(), { recursive: true });
    for (const path of [root, snapshots()]) chmodSync(path, 0o777);
    const umask = process.umask(0o077);
    try {
      const snapshotter = openSnapshotter();
      await snapshotter.prepare(ctx, "active", "");
      await snapshotter.view(ctx, "view", "");
    } finally {
      process.umask(umask);
    }
    expect(
      [root, snapshots(), snapshots("1"), snapshots("1/fs"), snapshots("1/work"), snapshots("2/fs")].map(mode),
    ).toEqual(["700", "700", "700", "755", "711", "755"]);
    expect(existsSync(snapshots("2/work"))).toBe(false);
    expect(mode(join(root, "metadata.db"))).toBe("600");
    expect(readdirSync(root).toSorted()).toEqual(["metadata.db", "metadata.db-lock", "snapshots"]);
  });

  it("belong to the mapped root, else to the parent's owner", async () => {
    const snapshotter = openSnapshotter();
    const labels = new Map([
      ["containerd.io/snapshot/uidmapping", "0:1000:65536"],
      ["containerd.io/snapshot/gidmapping", "0:2000:65536"],
    ]);
    const [mount] = await snapshotter.prepare(ctx, "mapped", "", { labels });
    expect(mount?.options.slice(0, 2)).toEqual(["uidmap=0:1000:65536", "gidmap=0:2000:65536"]);
    expect(lstatSync(snapshots("1/fs"))).toMatchObject({ uid: 1000, gid: 2000 });
    await snapshotter.commit(ctx, "base", "mapped");
    await snapshotter.prepare(ctx, "child", "base");
    expect(lstatSync(snapshots("2/fs"))).toMatchObject({ uid: 1000, gid: 2000 });
    labels.set("containerd.io/snapshot/uidmapping", "0:3000:1");
    await snapshotter.prepare(ctx, "other", "base", { labels });
    expect(lstatSync(snapshots("3/fs"))).toMatchObject({ uid: 3000, gid: 2000 });
    labels.set("containerd.io/snapshot/uidmapping", "nonsense");
    await expect(snapshotter.prepare(ctx, "bad", "base", { labels })).rejects.toMatchObject({
      kind: "invalid-argument",
    });
    expect(readdirSync(snapshots()).toSorted()).toEqual(["1", "2", "3"]);
  });

  it("stay until cleanup, which also takes what a crash left", async () => {
    const snapshotter = openSnapshotter();
    await snapshotter.prepare(ctx, "kept", "");
    await snapshotter.prepare(ctx, "gone", "");
    await snapshotter.remove(ctx, "gone");
    mkdirSync(snapshots("new-77/fs"), { recursive: true });
    mkdirSync(snapshots("55/fs"), { recursive: true });
    writeFileSync(snapshots("new-1"), "");
    expect(existsSync(snapshots("2"))).toBe(true);
    await snapshotter.cleanup?.(ctx);
    // new-1 has the name of a snapshot that is being made.
    expect(readdirSync(snapshots()).toSorted()).toEqual(["1", "new-1"]);
  });

  it("go at once with syncRemove", async () => {
    const snapshotter = openSnapshotter({ syncRemove: true });
    await snapshotter.prepare(ctx, "a", "");
    await snapshotter.prepare(ctx, "b", "");
    await snapshotter.remove(ctx, "a");
    expect(readdirSync(snapshots())).toEqual(["2"]);
  });

  it("are freed although something is mounted inside", async () => {
    const snapshotter = openSnapshotter({ syncRemove: true });
    await snapshotter.prepare(ctx, "a", "");
    mkdirSync(snapshots("1/fs/mnt"));
    mountAll([{ type: "tmpfs", source: "tmpfs", target: "", options: [] }], snapshots("1/fs/mnt"));
    await snapshotter.remove(ctx, "a");
    expect(readdirSync(snapshots())).toEqual([]);
  });

  it("never get the id of a directory that is there already", async () => {
    mkdirSync(snapshots("41/fs"), { recursive: true });
    mkdirSync(snapshots("new-42"), { recursive: true });
    const snapshotter = openSnapshotter();
    const [mount] = await snapshotter.prepare(ctx, "a", "");
    expect(mount?.source).toBe(snapshots("43/fs"));
  });

  it("of active snapshots are made again when a power failure lost them", async () => {
    const first = openSnapshotter();
    await first.prepare(ctx, "base-active", "");
    await first.commit(ctx, "base", "base-active");
    await first.prepare(ctx, "active", "base");
    await first.view(ctx, "view", "");
    await first.prepare(ctx, "lost-active", "");
    await first.commit(ctx, "lost", "lost-active");
    await first.close();
    for (const id of ["2", "3", "4"]) rmSync(snapshots(id), { recursive: true });
    const { log, lines } = recordingLogger();
    const second = openSnapshotter({ log });
    expect(readdirSync(snapshots("2")).toSorted()).toEqual(["fs", "work"]);
    expect(readdirSync(snapshots("3"))).toEqual(["fs"]);
    expect(lines.map(({ fields }) => fields["key"]).toSorted()).toEqual(["active", "lost", "view"]);
    await second.remove(ctx, "lost");
    await second.remove(ctx, "active");
  });
});

describe("labels", () => {
  it("show the upper directory when asked, and do not store it", async () => {
    const snapshotter = openSnapshotter({ upperdirLabel: true });
    await snapshotter.prepare(ctx, "a", "");
    const info = await snapshotter.stat(ctx, "a");
    expect(info.labels).toEqual(new Map([[upperdirLabel, snapshots("1/fs")]]));
    info.labels.set("x", "1");
    expect((await snapshotter.update(ctx, info, [])).labels.get(upperdirLabel)).toBe(snapshots("1/fs"));
    for await (const each of snapshotter.walk(ctx, [])) expect(each.labels.get(upperdirLabel)).toBe(snapshots("1/fs"));
    await snapshotter.close();
    const without = openSnapshotter();
    expect((await without.stat(ctx, "a")).labels).toEqual(new Map([["x", "1"]]));
  });
});

describe("probe and plugin", () => {
  it("declines on a filesystem that cannot hold an upper directory", () => {
    for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(join(directory, name));
    const option = (key: string, name: string): string => `${key}=${join(directory, name)}`;
    const options = [option("lowerdir", "lower"), option("upperdir", "upper"), option("workdir", "work")];
    const merged = join(directory, "merged");
    mountAll([{ type: "overlay", source: "overlay", target: "", options }], merged);
    try {
      const nested = join(merged, "root");
      const probe = probeOverlay(nested);
      expect(probe).toMatchObject({
        supported: false,
        reason: expect.stringContaining("cannot be mounted"),
        remedy: expect.stringContaining("native"),
      });
      expect(readdirSync(nested)).toEqual([]);
      expect(() => plugin.initFn(initContext({ root_path: nested }).ic)).toThrow(SkipPlugin);
    } finally {
      unmountAll(merged);
    }
  });

  it("removes what an interrupted probe left", () => {
    const merged = join(root, "probe-abc", "merged");
    mkdirSync(merged, { recursive: true });
    mountAll([{ type: "tmpfs", source: "tmpfs", target: "", options: [] }], merged);
    expect(probeOverlay(root).supported).toBe(true);
    expect(readdirSync(root)).toEqual([]);
  });

  it("tells its root, platform and capabilities", async () => {
    const { ic, closers } = initContext({});
    const snapshotter = await plugin.initFn(ic);
    expect(ic.meta.exports.get("root")).toBe(root);
    expect(ic.meta.platforms).toMatchObject([{ os: "linux" }]);
    expect(ic.meta.capabilities).toEqual(["remap-ids", "only-remap-ids", "rebase"]);
    await snapshotter.prepare(ctx, "a", "");
    for (const close of closers) await close();
    const elsewhere = initContext({
      root_path: join(directory, "elsewhere"),
      slow_chown: true,
      mount_options: ["volatile"],
    });
    const other = await plugin.initFn(elsewhere.ic);
    expect(elsewhere.ic.meta.exports.get("root")).toBe(join(directory, "elsewhere"));
    expect(elsewhere.ic.meta.capabilities).toEqual(["remap-ids", "rebase"]);
    await other.prepare(ctx, "base-active", "");
    await other.commit(ctx, "base", "base-active");
    const [mount] = await other.prepare(ctx, "child", "base");
    expect(mount?.options.slice(-2)).toEqual(["volatile", "index=off"]);
    for (const close of elsewhere.closers) await close();
  });

  it("has containerd's defaults and describes each key", async () => {
    const result = await overlayConfig.standard["~standard"].validate({});
    expect(result).toEqual({
      value: {
        ...{ root_path: "", upperdir_label: false, sync_remove: false, slow_chown: false, mount_options: [] },
        sync_commit: false,
      },
    });
    const properties = overlayConfig.jsonSchema()["properties"] as Record<string, { description?: string }>;
    for (const property of Object.values(properties)) expect(property.description).toBeTruthy();
  });
});

function initContext(config: Partial<OverlayConfig>): { ic: InitContext<OverlayConfig>; closers: (() => unknown)[] } {
  const closers: (() => unknown)[] = [];
  const defaults = {
    ...{ root_path: "", upperdir_label: false, sync_remove: false, slow_chown: false, mount_options: [] },
    sync_commit: false,
  };
  const unused = (): never => {
    throw new Error("not required by the plugin");
  };
  const ic: InitContext<OverlayConfig> = {
    config: { ...defaults, ...config },
    root,
    state: join(directory, "state"),
    log: silentLogger,
    daemon: { version: "", revision: "", address: "", ttrpcAddress: "", binary: "", debug: false, timeouts: new Map() },
    meta: { exports: new Map(), platforms: [], capabilities: [] },
    signal: ctx.signal,
    get: unused,
    find: unused,
    getAll: unused,
    getById: unused,
    plugins: () => [],
    onReload: () => undefined,
    onClose: (close) => void closers.unshift(close),
  };
  return { ic, closers };
}
