import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { configSchema } from "@ctrd/core/config";
import { messageOf } from "@ctrd/core/errors";
import type { AnyRegistration, LoadedPlugin } from "@ctrd/core/plugin";
import { pluginType } from "@ctrd/core/plugin";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import type { ConfigOverrides, DaemonConfig } from "./index.ts";
import { documentOf, loadDocuments, printConfig, printDefaultConfig, resolveConfig } from "./index.ts";
import { parseDocument } from "./load.ts";
import { mergeTables } from "./merge.ts";

function plugin(uri: string, table?: z.ZodObject): LoadedPlugin {
  const dot = uri.lastIndexOf(".");
  const registration: AnyRegistration = {
    type: pluginType(uri.slice(0, dot)),
    id: uri.slice(dot + 1),
    initFn: (ic) => ic.config,
    ...(table === undefined ? {} : { config: configSchema(table, () => z.toJSONSchema(table, { io: "input" })) }),
  };
  return { registration };
}

const listener = z.object({
  address: z.string().default("").describe("Path of the socket."),
  uid: z.int().default(0).describe("Owner."),
  gid: z.int().default(0).describe("Group."),
  max_recv_message_size: z.int().default(16777216).describe("Bytes."),
  max_send_message_size: z.int().default(16777216).describe("Bytes."),
});
const overlay = z.object({
  root_path: z.string().default("").describe("Directory."),
  upperdir_label: z.boolean().default(false).describe("Label."),
  sync_remove: z.boolean().default(false).describe("Wait.\nReally."),
  mount_options: z.array(z.string()).default([]).describe("Options."),
  nested: z
    .object({ deep: z.int().default(1).describe("Depth."), map: z.record(z.string(), z.string()).default({}) })
    .prefault({}),
});
const scheduler = z.object({
  pause_threshold: z.number().default(0.02).describe("Share of time."),
  schedule_delay: z.string().default("0s").describe("Delay."),
});
const plugins = [
  plugin("io.containerd.server.v1.grpc", listener),
  plugin("io.containerd.server.v1.ttrpc", listener),
  plugin("io.containerd.snapshotter.v1.overlayfs", overlay),
  plugin("io.containerd.gc.v1.scheduler", scheduler),
  plugin("io.containerd.monitor.container.v1.restart", z.object({ interval: z.string().default("10s") })),
  plugin("io.containerd.event.v1.exchange"),
];

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-config-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(directory, name);
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, text);
  return path;
}

async function load(text: string, overrides: ConfigOverrides = {}): Promise<DaemonConfig> {
  return resolveConfig(await loadDocuments(await file("config.toml", text)), plugins, overrides);
}

async function mistake(text: string): Promise<string> {
  try {
    await load(text);
  } catch (error) {
    return messageOf(error).replaceAll(`${directory}/`, "");
  }
  throw new Error(`accepted: ${text}`);
}

describe("configuration mistakes name file, line, column, key and the nearest known key", () => {
  it.each([
    ['version = 3\nrot = "/x"\n', 'config.toml:2:1: rot: unknown key "rot", did you mean "root"?: invalid argument'],
    [
      'version = 2\n\n[grpc]\n  adress = "/x"\n',
      'config.toml:4:3: grpc.adress: unknown key "adress", did you mean "address"?',
    ],
    ['version = 2\n[debug]\nlevel = "loud"\n', "config.toml:3:1: debug.level: Invalid option: expected one of"],
    ['oom_score = "5"\n', "config.toml:1:1: oom_score: expected number, received string"],
    ["oom_score = 5000\n", "config.toml:1:1: oom_score: Too big"],
    ["root = 5\nstate = 6\n", "config.toml:1:1: root: expected string, received number (and 1 more)"],
    ["version = 9\n", "config.toml:1:1: version: version 9 is not supported, use 2 to 4"],
    ["version = {a = 1}\n", 'config.toml:1:1: version: version {"a":1} is not supported'],
    ['version = "2"\n', 'config.toml:1:1: version: version "2" is not supported'],
    ["a = 1\nb = = 2\n", "config.toml:2:5: not TOML: invalid value"],
    ["[x]\n[x]\n", "config.toml:2:"],
    [
      'version = 2\n[plugins]\n  [plugins."io.containerd.snapshotter.v1.overlayfs"]\n    sync_remov = true\n',
      'config.toml:4:5: plugins."io.containerd.snapshotter.v1.overlayfs".sync_remov: unknown key "sync_remov", did you mean "sync_remove"?',
    ],
    [
      '[plugins."io.containerd.snapshotter.v1.overlayfs"]\nsync_remove = "yes"\n',
      'config.toml:2:1: plugins."io.containerd.snapshotter.v1.overlayfs".sync_remove: expected boolean, received string',
    ],
    [
      '[plugins."io.containerd.snapshotter.v1.overlayfs"]\nmount_options = ["a", 5]\n',
      'overlayfs".mount_options[1]: expected string, received number',
    ],
    [
      'plugins."io.containerd.snapshotter.v1.overlayfs".nested = { deep = 1, dep = 2 }\n',
      'config.toml:1:71: plugins."io.containerd.snapshotter.v1.overlayfs".nested.dep: unknown key "dep", did you mean "deep"?',
    ],
    ['[plugins."io.containerd.event.v1.exchange"]\nx = 1\n', 'exchange".x: unknown key "x", there are no keys here'],
    [
      '[timeouts]\n"io.containerd.timeout.shim.load" = "5 parsecs"\n',
      'config.toml:2:1: timeouts."io.containerd.timeout.shim.load": ',
    ],
    ['version = 2\ndisabled_plugins = ["cri"]\n', 'config.toml:2:21: disabled_plugins[0]: "cri" is not a <type>.<id>'],
    [
      'required_plugins = ["io.containerd.snapshotter.v1.overlay"]\nversion = 2\n',
      'required plugin "io.containerd.snapshotter.v1.overlay" is not part of this daemon, did you mean "io.containerd.snapshotter.v1.overlayfs"?',
    ],
    [
      'version = 2\n[plugins."io.containerd.internal.v1.restart"]\ninterwal = "1s"\n',
      'config.toml:3:1: plugins."io.containerd.internal.v1.restart".interwal',
    ],
    ['imports = [""]\n', "config.toml:1:12: imports[0]: expected the path of a file"],
    ['imports = ["none.toml"]\n', "read configuration none.toml, imported by config.toml: ENOENT"],
    [
      '[proxy_plugins.x]\ntyp = "snapshot"\n',
      'config.toml:2:1: proxy_plugins.x.typ: unknown key "typ", did you mean "type"?',
    ],
    ['root = "relative"\n', 'config.toml:1:1: root: "relative" must be an absolute path'],
    ['root = "/x"\nstate = "/x/"\n', "root and state must be different directories, both are /x"],
    ["[__proto__]\na = 1\n", "config.toml:1:"],
  ])("%j", async (text, message) => {
    expect(await mistake(text)).toContain(message);
  });

  it("a missing file is a mistake only when it was named", async () => {
    await expect(loadDocuments(join(directory, "absent.toml"))).rejects.toThrow("absent.toml: ENOENT");
    expect((await loadDocuments(undefined)).documents.length).toBeGreaterThanOrEqual(0);
  });
});

describe("configuration", () => {
  it("has defaults", async () => {
    const config = await resolveConfig({ documents: [], warnings: [] }, plugins);
    expect(config.table).toMatchObject({ root: "/var/lib/ctrd", state: "/run/ctrd", oom_score: 0 });
    expect(config.address).toBe("/run/ctrd/ctrd.sock");
    expect(config.ttrpcAddress).toBe("/run/ctrd/ctrd.sock.ttrpc");
    expect(config.timeouts.get("io.containerd.timeout.shim.load")).toBe(5000);
    expect(config.table.debug).toMatchObject({ level: "info", format: "json" });
  });

  it("moves the listeners of versions 2 and 3 into plugin tables", async () => {
    const config = await load(
      'version = 2\n[grpc]\naddress = "/a/b.sock"\ngid = 7\ntcp_address = ""\n[ttrpc]\naddress = ""\nuid = 0\n[debug]\naddress = ""\nlevel = "debug"\n[metrics]\naddress = ""\ngrpc_histogram = false\n',
    );
    expect(config.warnings).toEqual([]);
    expect(config.table.plugins["io.containerd.server.v1.grpc"]).toEqual({ address: "/a/b.sock", gid: 7 });
    expect(config.table.plugins["io.containerd.server.v1.ttrpc"]).toEqual({
      address: "/a/b.sock.ttrpc",
      gid: 7,
    });
    expect(config.table.debug.level).toBe("debug");
  });

  it("moves metrics, debug and TCP listeners when they are set", async () => {
    const config = await load(
      'version = 3\n[grpc]\ntcp_address = "127.0.0.1:1"\ntcp_tls_ca = "/ca"\n[debug]\naddress = "/d"\n[metrics]\naddress = "127.0.0.1:2"\ngrpc_histogram = true\n',
    );
    expect(config.table.plugins).toMatchObject({
      "io.containerd.server.v1.grpc-tcp": { address: "127.0.0.1:1", tls_ca: "/ca" },
      "io.containerd.server.v1.debug": { address: "/d" },
      "io.containerd.server.v1.metrics": { address: "127.0.0.1:2" },
      "io.containerd.metrics.v1.grpc-prometheus": { grpc_histogram: true },
    });
    expect(config.warnings.length).toBe(4);
  });

  it("reads version 1 with its bare names", async () => {
    const config = await load('disabled_plugins = ["cri", "restart"]\n[plugins.overlayfs]\nsync_remove = true\n');
    expect(config.table.plugins["io.containerd.snapshotter.v1.overlayfs"]).toEqual({ sync_remove: true });
    expect(config.table.disabled_plugins).toEqual([
      "io.containerd.grpc.v1.cri",
      "io.containerd.monitor.container.v1.restart",
    ]);
  });

  it("warns of tables for plugins that are not there, with the nearest that is", async () => {
    const config = await load('version = 3\n[plugins."io.containerd.snapshotter.v1.overlay"]\nx = 1\n');
    expect(config.warnings).toEqual([
      `${directory}/config.toml:2:10: plugins."io.containerd.snapshotter.v1.overlay": the plugin is not part of this daemon and its table is ignored; did you mean "io.containerd.snapshotter.v1.overlayfs"?`,
    ]);
  });

  it("turns sched_core into an environment variable of shims", async () => {
    const { document } = await parseDocument(
      "/x",
      'version = 2\n[plugins."io.containerd.runtime.v2.task"]\nsched_core = true\n',
    );
    expect(document.table["plugins"]).toEqual({
      "io.containerd.runtime.v2.task": {},
      "io.containerd.shim.v1.manager": { env: ["SCHED_CORE=1"] },
    });
  });

  it("gives the command line the last word", async () => {
    const config = await load('version = 2\nroot = "/r"\n[grpc]\naddress = "/g"\n[debug]\nlevel = "warn"\n', {
      root: "/r2",
      state: "/s2",
      address: "/g2",
      logLevel: "trace",
    });
    expect([config.table.root, config.table.state, config.address, config.table.debug.level]).toEqual([
      "/r2",
      "/s2",
      "/g2",
      "trace",
    ]);
  });

  it("accepts what containerd prints as its default, with warnings only", async () => {
    const text = execFileSync("containerd", ["config", "default"], { encoding: "utf8" });
    const config = await load(text);
    expect(config.table.root).toBe("/var/lib/containerd");
    expect(config.address).toBe("/run/containerd/containerd.sock");
    expect(config.table.plugins["io.containerd.gc.v1.scheduler"]).toMatchObject({ pause_threshold: 0.02 });
    expect(config.warnings.join("\n")).toContain('plugins."io.containerd.grpc.v1.cri": the CRI plugin is not part');
    expect(config.warnings.join("\n")).toContain("deletion_threshold: has no effect in this daemon");
  });
});

describe("imports", () => {
  it("are merged breadth-first, each file once, with globs", async () => {
    const main = await file(
      "i/main.toml",
      'version = 2\nimports = ["conf.d/*.toml", "last.toml", "main.toml"]\nroot = "/main"\ndisabled_plugins = ["a.b"]\noom_score = 3\n[timeouts]\n"io.containerd.timeout.task.state" = "9s"\n[plugins."io.containerd.snapshotter.v1.overlayfs"]\nsync_remove = true\nmount_options = ["x"]\n',
    );
    await file("i/conf.d/20.toml", 'version = 2\nroot = "/20"\nimports = ["../deep.toml", "../main.toml"]\n');
    await file(
      "i/conf.d/10.toml",
      'version = 2\nroot = "/10"\noom_score = 0\ndisabled_plugins = ["a.b", "c.d"]\n[plugins."io.containerd.snapshotter.v1.overlayfs"]\nsync_remove = false\nmount_options = ["y"]\n[timeouts]\n"io.containerd.timeout.shim.load" = "1m"\n',
    );
    await file("i/conf.d/ignored.txt", "not toml at all");
    await file("i/last.toml", 'version = 2\n[grpc]\naddress = "/last"\n');
    await file("i/deep.toml", 'version = 2\nstate = "/deep"\n[debug]\nlevel = ""\n');
    const loaded = await loadDocuments(main);
    const names = loaded.documents.map((document) => document.name.replace(`${directory}/i/`, ""));
    expect(names).toEqual(["main.toml", "conf.d/10.toml", "conf.d/20.toml", "last.toml", "deep.toml"]);
    const { table, timeouts, address } = await resolveConfig(loaded, plugins);
    expect([table.root, table.state, address, table.oom_score]).toEqual(["/20", "/deep", "/last", 3]);
    expect(table.disabled_plugins).toEqual(["a.b", "c.d"]);
    expect(table.plugins["io.containerd.snapshotter.v1.overlayfs"]).toEqual({
      sync_remove: false,
      mount_options: ["y"],
    });
    expect(timeouts.get("io.containerd.timeout.task.state")).toBe(9000);
    expect(timeouts.get("io.containerd.timeout.shim.load")).toBe(60_000);
    expect(timeouts.get("io.containerd.timeout.shim.cleanup")).toBe(5000);
  });

  it("report mistakes in the file that has them", async () => {
    const main = await file("e/main.toml", 'version = 2\nimports = ["bad.toml"]\n');
    await file("e/bad.toml", "version = 2\n\n   rooot = 1\n");
    await expect(loadDocuments(main).then((loaded) => resolveConfig(loaded, plugins))).rejects.toThrow(
      `${directory}/e/bad.toml:3:4: rooot: unknown key "rooot", did you mean "root"?`,
    );
  });
});

describe("mergeTables", () => {
  it("keeps earlier values over later zero ones at the top, not in plugin tables", () => {
    const earlier = {
      root: "/a",
      oom_score: 4,
      debug: { level: "info", log_trace_id: true },
      plugins: { p: { on: true, n: { a: 1 } } },
    };
    const later = {
      root: "",
      oom_score: 0,
      debug: { level: "", log_trace_id: false },
      plugins: { p: { on: false, n: { b: 2 } } },
    };
    expect(mergeTables([earlier, later]).table).toEqual({
      root: "/a",
      oom_score: 4,
      debug: { level: "info", log_trace_id: true },
      plugins: { p: { on: false, n: { a: 1, b: 2 } } },
    });
  });

  it("replaces entries of proxy_plugins whole", () => {
    const { table: merged } = mergeTables([
      { proxy_plugins: { a: { x: 1 }, b: { x: 1 } } },
      { proxy_plugins: { a: { y: 2 } } },
    ]);
    expect(merged).toEqual({ proxy_plugins: { a: { y: 2 }, b: { x: 1 } } });
  });

  it("does not change its arguments", () => {
    const earlier = { disabled_plugins: ["a"], plugins: { p: { a: 1 } } };
    mergeTables([earlier, { disabled_plugins: ["b"], plugins: { p: { b: 1 } } }]);
    expect(earlier).toEqual({ disabled_plugins: ["a"], plugins: { p: { a: 1 } } });
  });
});

describe("printing", () => {
  it("prints defaults that read back as the defaults, with descriptions", async () => {
    const text = await printDefaultConfig(plugins);
    expect(text).toContain("# Wait.\n# Really.\nsync_remove = false\n");
    expect(text).toContain('[plugins."io.containerd.snapshotter.v1.overlayfs".nested]');
    const path = await file("default.toml", text);
    const read = await resolveConfig(await loadDocuments(path), plugins);
    const bare = await resolveConfig({ documents: [], warnings: [] }, plugins);
    expect(read.warnings).toEqual([]);
    expect({ ...read.table, plugins: {} }).toEqual({ ...bare.table, plugins: {} });
    expect(read.address).toBe(bare.address);
  });

  it("prints any configuration so that it reads back", async () => {
    const table = {
      version: 4,
      imports: [],
      timeouts: { "io.containerd.timeout.task.state": "3s" },
      proxy_plugins: { 'weird "id"': { type: "snapshot", address: "/é\t\u007f", exports: { "a.b": "\\" } } },
      plugins: {
        "io.containerd.snapshotter.v1.overlayfs": { mount_options: ["a,b", "c\nd"], nested: { map: { x: "" } } },
      },
    };
    const path = await file("dump.toml", printConfig(table));
    const { documents } = await loadDocuments(path);
    expect(documents[0]?.table).toEqual(table);
  });

  it("works for tables given in code", async () => {
    const documents = [documentOf({ plugins: { "io.containerd.gc.v1.scheduler": { pause: 1 } } }, "configuration")];
    await expect(resolveConfig({ documents, warnings: [] }, plugins)).rejects.toThrow(
      'configuration: plugins."io.containerd.gc.v1.scheduler".pause: unknown key "pause", known are: pause_threshold, schedule_delay',
    );
  });
});
