import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SkipPlugin, optional, pluginRef, pluginType } from "@ctrd/core/plugin";
import type { AnyRegistration } from "@ctrd/core/plugin";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { builtins, composeDaemon } from "../index.ts";
import type { Daemon } from "../index.ts";
import { parseCommandLine } from "./arguments.ts";
import { findPlugin, uriOf } from "./find-plugin.ts";
import { printGraph } from "./plugin-graph.ts";
import type { PluginView } from "./plugin-views.ts";
import { loadViews } from "./plugin-views.ts";
import { printPlugin, printTable } from "./plugins.ts";

const view = (type: string, id: string, more: Partial<PluginView> = {}): PluginView => ({
  type,
  id,
  requires: [],
  requirements: [],
  state: "ok",
  meta: { exports: new Map(), platforms: [], capabilities: [] },
  ...more,
});

const views: readonly PluginView[] = [
  view("t.content.v1", "local", { source: { name: "@x/content", version: "1.0.0", directory: "/x" } }),
  view("t.snap.v1", "aufs", { state: "skipped", error: "no aufs", remedy: "load the module" }),
  view("t.snap.v1", "local", { state: "failed", error: 'say "why"' }),
  view("t.meta.v1", "bolt", {
    state: "unknown",
    requires: ["t.content.v1", "t.snap.v1"],
    requirements: [
      { type: "t.content.v1", id: "local", optional: false },
      { type: "t.snap.v1", optional: true },
    ],
    meta: {
      exports: new Map([["root", "/r"]]),
      platforms: [{ os: "linux", architecture: "arm64", variant: "v8", osVersion: "" }],
      capabilities: ["rebase", "remap"],
    },
    config: { size: 3, names: ["a"], deep: { on: true } },
  }),
];

describe("what is printed", () => {
  it("a table, with the reason and the remedy of what is not in use", () => {
    expect(printTable(views)).toBe(`\
TYPE          ID     PACKAGE     VERSION  STATE
t.content.v1  local  @x/content  1.0.0    ok
t.snap.v1     aufs   -           -        skipped
    why: no aufs
    do:  load the module
t.snap.v1     local  -           -        failed
    why: say "why"
t.meta.v1     bolt   -           -        unknown
`);
  });

  it("a graph to concrete plugins", () => {
    expect(printGraph(views)).toBe(String.raw`digraph plugins {
  rankdir=LR;
  node [shape=box, style=filled, fillcolor=white];
  "t.content.v1.local" [label="t.content.v1.local\n@x/content@1.0.0", fillcolor=palegreen];
  "t.snap.v1.aufs" [label="t.snap.v1.aufs", fillcolor=lightgrey];
  "t.snap.v1.local" [label="t.snap.v1.local", fillcolor=salmon];
  "t.meta.v1.bolt" [label="t.meta.v1.bolt"];
  "t.meta.v1.bolt" -> "t.content.v1.local";
  "t.meta.v1.bolt" -> "t.snap.v1.aufs" [style=dashed];
  "t.meta.v1.bolt" -> "t.snap.v1.local" [style=dashed];
}
`);
  });

  it("all that is known of a plugin", () => {
    expect(printPlugin(findPlugin(views, "bolt"))).toBe(`\
t.meta.v1.bolt
  state:        unknown
  platforms:    linux/arm64/v8
  capabilities: rebase, remap
  requires:
    t.content.v1.local
    t.snap.v1 (optional)
  exports:
    root = /r
  config:
    [plugins."t.meta.v1.bolt"]
    size = 3
    names = ["a"]

    [plugins."t.meta.v1.bolt".deep]
    on = true
`);
  });
});

describe("a word names a plugin", () => {
  it("by type and id, or by id alone", () => {
    expect(uriOf(findPlugin(views, "t.snap.v1.local"))).toBe("t.snap.v1.local");
    expect(uriOf(findPlugin(views, "aufs"))).toBe("t.snap.v1.aufs");
  });

  it.each([
    ["local", '2 plugins have the id "local"; name one of t.content.v1.local, t.snap.v1.local'],
    ["auf", 'there is no plugin "auf", did you mean "aufs"?'],
    ["t.snap.v1.auf", 'there is no plugin "t.snap.v1.auf", did you mean "t.snap.v1.aufs"?'],
    ["zzzzzzzz", 'there is no plugin "zzzzzzzz", list them with "ctrd plugins ls"'],
  ])("%s", (word, message) => {
    expect(() => findPlugin(views, word)).toThrow(message);
  });
});

const Thing = pluginType<string>("test.thing.v1");
const thing: AnyRegistration = {
  type: Thing,
  id: "x",
  requires: [optional(pluginRef(Thing, "y"))],
  initFn: () => {
    throw new SkipPlugin("no overlay here", "load the module");
  },
};

describe("the daemon's plugins", () => {
  let directory: string;
  let config: string;
  let daemon: Daemon | undefined;
  const notes: string[] = [];

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "ctrd-plugins-"));
    config = join(directory, "config.toml");
    await writeFile(
      config,
      `version = 3\nroot = "${directory}/root"\nstate = "${directory}/state"\nimports = []\n` +
        'disabled_plugins = ["io.containerd.snapshotter.v1.native"]\n',
    );
    notes.length = 0;
  });
  afterEach(async () => {
    await daemon?.stop();
    daemon = undefined;
    await rm(directory, { recursive: true });
  });

  const load = (...argv: string[]): Promise<readonly PluginView[]> =>
    loadViews(parseCommandLine(["plugins", "ls", "--config", config, ...argv]), (text) => void notes.push(text));

  it("are asked for at the socket that the configuration names", async () => {
    const own = { root: `${directory}/root`, state: `${directory}/state` };
    daemon = await composeDaemon({ plugins: [...builtins, thing], config: own });
    await daemon.start();
    const found = findPlugin(await load(), "test.thing.v1.x");
    expect(found).toMatchObject({
      state: "skipped",
      error: "no overlay here",
      remedy: "load the module",
      requirements: [{ type: "test.thing.v1", id: "y", optional: true }],
    });
    const byAddress = await load("--address", `${directory}/state/ctrd.sock`);
    expect(findPlugin(byAddress, "bolt")).toMatchObject({
      state: "ok",
      source: { name: "@ctrd/metadata-lmdb" },
      config: { content_sharing_policy: "shared" },
    });
    expect(notes).toEqual([]);
  });

  it("are those of the composition while no daemon runs", async () => {
    const found = await load();
    expect(notes).toEqual([`no daemon is running at ${directory}/state/ctrd.sock: states are not known`]);
    expect(findPlugin(found, "native")).toMatchObject({ state: "disabled", source: { name: "@ctrd/snapshot-native" } });
    expect(findPlugin(found, "bolt")).toMatchObject({ state: "unknown", config: { content_sharing_policy: "shared" } });
    expect(notes.length).toBe(1);
  });

  it("are what the command prints", async () => {
    const main = fileURLToPath(new URL("../main.ts", import.meta.url));
    const run = async (...argv: string[]): Promise<[status: unknown, stdout: string, stderr: string]> => {
      const flags = ["--conditions=ctrd-source", "--disable-warning=ExperimentalWarning"];
      const child = spawn(process.execPath, [...flags, main, ...argv, "--config", config], { stdio: "pipe" });
      const closed = once(child, "close");
      const [out, err] = await Promise.all([child.stdout.toArray(), child.stderr.toArray()]);
      return [(await closed)[0], out.join(""), err.join("")];
    };
    const note = `ctrd: no daemon is running at ${directory}/state/ctrd.sock: states are not known\n`;
    const [status, stdout, stderr] = await run("plugins", "inspect", "overlayfs", "--json");
    expect([status, stderr]).toEqual([0, note]);
    expect(JSON.parse(stdout)).toMatchObject({ id: "overlayfs", state: "unknown", config: { root_path: "" } });
    expect(await run("plugins", "inspect")).toEqual([
      1,
      "",
      "ctrd: plugins inspect needs the <type>.<id> or the id of a plugin (see ctrd --help)\n",
    ]);
    expect(await run("plugins", "inspect", "overlayf")).toEqual([
      1,
      "",
      `${note}ctrd: there is no plugin "overlayf", did you mean "overlayfs"?\n`,
    ]);
  });
});
