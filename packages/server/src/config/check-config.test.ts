import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { configSchema } from "@ctrd/core/config";
import { messageOf } from "@ctrd/core/errors";
import type { LoadedPlugin } from "@ctrd/core/plugin";
import { pluginType } from "@ctrd/core/plugin";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import type { DaemonConfig } from "./index.ts";
import { checkConfig, loadDocuments, resolveConfig } from "./index.ts";

function plugin(type: string, id: string, table: z.ZodObject): LoadedPlugin {
  const config = configSchema(table, () => z.toJSONSchema(table, { io: "input" }));
  return { registration: { type: pluginType(type), id, config, initFn: (ic) => ic.config } };
}

const nested = z.object({ deep: z.int().default(1), map: z.record(z.string(), z.string()).default({}) }).prefault({});
const plugins = [
  plugin("io.containerd.server.v1", "grpc", z.object({ address: z.string().default(""), uid: z.int().default(0) })),
  plugin("io.containerd.snapshotter.v1", "overlayfs", z.object({ nested })),
  plugin("io.containerd.gc.v1", "scheduler", z.object({})),
];

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-check-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

async function file(name: string, text: string): Promise<string> {
  const path = join(directory, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  return path;
}

async function load(text: string): Promise<DaemonConfig> {
  return resolveConfig(await loadDocuments(await file("config.toml", text)), plugins);
}

async function mistake(text: string): Promise<string> {
  const error = await load(text).catch((refusal: unknown) => refusal);
  return messageOf(error).replaceAll(`${directory}/`, "");
}

describe("check", () => {
  it("reports every mistake of every file, and goes on behind a file that cannot be read", async () => {
    const main = await file("all/main.toml", 'imports = ["none.toml", "broken.toml", "wrong.toml"]\nrooot = 1\n');
    await file("all/broken.toml", "a = \n");
    await file("all/wrong.toml", 'oom_score = "x"\n[timeouts]\n"io.containerd.timeout.shim.laod" = "1s"\n');
    const unreadable: string[] = [];
    const loaded = await loadDocuments(main, (error) => unreadable.push(error.message));
    const { problems, warnings, config } = await checkConfig(loaded, plugins);
    const short = (lines: readonly string[]): string[] => lines.map((line) => line.replaceAll(`${directory}/all/`, ""));
    expect(short(unreadable)).toEqual([
      expect.stringMatching(/^read configuration none\.toml, imported by main\.toml: ENOENT/),
      expect.stringMatching(/^broken\.toml:1:5: not TOML: /),
    ]);
    expect(short(problems)).toEqual([
      'main.toml:2:1: rooot: unknown key "rooot", did you mean "root"?',
      "wrong.toml:1:1: oom_score: expected number, received string",
    ]);
    expect(short(warnings)).toEqual([
      `wrong.toml:3:1: timeouts."io.containerd.timeout.shim.laod": has no effect: no plugin of ctrd's own has it, did you mean "io.containerd.timeout.shim.load"?`,
    ]);
    expect(config).toBeUndefined();
  });

  it.each([
    ["a = 1\n[b]\nc = { d = 1 }\n[b.c]\n", ":4:2: b.c: defined twice, first on line 3;"],
    ['"a=b".c = 1\n"a=b".c = 2\n', ':2:1: "a=b".c: defined twice, first on line 1;'],
    ["a = 1\na.b = 2\n", ":2:1: a: defined twice, first on line 1;"],
    ["[[x]]\n[x]\n", ":2:2: x: defined twice, first on line 1;"],
    ["a = { b = 1, b = 2 }\n", ":1:14: a key is defined twice;"],
  ])("names both places of what is defined twice: %j", async (text, message) => {
    expect(await mistake(text)).toContain(`config.toml${message}`);
  });

  it("takes files with a byte order mark, and finds places in them", async () => {
    expect((await load('\ufeffversion = 4\nroot = "/x"\n')).table.root).toBe("/x");
    expect(await mistake("\ufeffrot = 1\n")).toContain('config.toml:1:1: rot: unknown key "rot"');
  });

  it("leaves keys without effect out of what plugins get", async () => {
    const config = await load('version = 4\n[plugins."io.containerd.gc.v1.scheduler"]\nmutation_threshold = 5\n');
    expect(config.table.plugins["io.containerd.gc.v1.scheduler"]).toEqual({});
    expect(config.warnings.join()).toContain("mutation_threshold: has no effect in this daemon");
  });
});

describe("sources", () => {
  it("follow each value through the merge, the migration and the command line", async () => {
    const main = await file(
      "s/main.toml",
      'version = 2\nimports = ["later.toml"]\ntemp = "/r"\noom_score = 4\ndisabled_plugins = ["a.b"]\n[grpc]\naddress = "/g"\n[proxy_plugins.x]\ntype = "snapshot"\naddress = "/x"\nplatform = "linux/arm64"\n',
    );
    await file(
      "s/later.toml",
      'version = 3\ntemp = ""\noom_score = 0\ndisabled_plugins = ["a.b"]\nrequired_plugins = []\n[proxy_plugins.x]\ntype = "content"\naddress = "/y"\n[plugins."io.containerd.snapshotter.v1.overlayfs".nested]\nmap = { a = "" }\n',
    );
    const loaded = await loadDocuments(main);
    const { sources } = await resolveConfig(loaded, plugins, { logLevel: "debug" });
    const grpc = ["plugins", "io.containerd.server.v1.grpc"];
    const overlayfs = ["plugins", "io.containerd.snapshotter.v1.overlayfs"];
    const described: Record<string, string> = {};
    for (const path of [
      ["temp"],
      ["state"],
      ["oom_score"],
      ["disabled_plugins"],
      ["debug", "level"],
      ["debug", "format"],
      ["proxy_plugins", "x", "type"],
      // The later entry replaces the whole earlier one.
      ["proxy_plugins", "x", "platform"],
      [...grpc, "address"],
      [...grpc, "uid"],
      [...overlayfs, "nested", "map", "a"],
      [...overlayfs, "nested", "deep"],
    ]) {
      described[path.slice(-2).join(".")] = (await sources.describe(path)).replace(`${directory}/s/`, "");
    }
    expect(described).toEqual({
      temp: "main.toml:3",
      state: "default",
      oom_score: "main.toml:4",
      disabled_plugins: "main.toml:5",
      "debug.level": "command line",
      "debug.format": "default",
      "x.type": "later.toml:7",
      "x.platform": "default",
      "io.containerd.server.v1.grpc.address": "migrated from [grpc] address, main.toml:7",
      "io.containerd.server.v1.grpc.uid": "default",
      "map.a": "later.toml:10",
      "nested.deep": "default",
    });
  });
});
