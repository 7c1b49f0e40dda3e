/** Plugins by dependency: an app folder's packages, in a daemon that unmodified clients use. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { tempDir, type TempDir } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, describe, expect } from "vitest";
import {
  copyingSnapshotter,
  createApp,
  idlePlugin,
  writeJson,
  type AppOptions,
  type ForeignPackage,
} from "./support/app-folder.ts";
import { exited, run, start, until } from "./support/command.ts";
import { daemonCommand } from "./support/daemon.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { ctrdTest, repository } from "./support/peers.ts";

let dir: TempDir;
let app: string;
beforeAll(async () => {
  dir = await tempDir("app-");
  app = join(dir.path, "app");
});
afterAll(() => dir[Symbol.asyncDispose]());

const [node, [...flags]] = daemonCommand("ctrd", "");
const nodeFlags = flags.filter((flag) => flag.startsWith("--") && flag !== "--config");
const main = `${repository}/packages/server/src/main.ts`;
/** Everything but the snapshotters. */
const core = [
  "content-local",
  "events-exchange",
  "metadata-lmdb",
  "gc-scheduler",
  "diff-walking",
  "runtime-v2",
  "grpc",
];

async function ctrd(
  args: readonly string[],
  cwd = "/",
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await run(node, [...nodeFlags, main, ...args], { cwd });
  return { code, stdout, stderr };
}

async function snapshotters(h: Harness): Promise<string[]> {
  const rows = (await h.daemon.ctr(["plugins", "ls"])).split("\n").map((line) => line.split(/\s+/));
  return rows.filter(([type]) => type === "io.containerd.snapshotter.v1").map(([, id, , state]) => `${id} ${state}`);
}

async function echo(h: Harness): Promise<string> {
  await h.daemon.ctr(["images", "pull", "--plain-http", "--snapshotter", "copying", h.image]);
  const args = ["run", "--rm", "--snapshotter", "copying", h.image, h.daemon.id("own"), "echo", "from my snapshotter"];
  return h.daemon.ctr(args);
}

async function withApp(options: AppOptions, body: (h: Harness) => Promise<void>): Promise<void> {
  createApp(app, options);
  const h = await openHarness("app", { kind: "ctrd", args: ["--app", app], pull: false });
  try {
    await body(h);
  } finally {
    await h.close();
  }
}

describe("an app folder", () => {
  ctrdTest("adds its plugins to the built-in ones", async () => {
    const options: AppOptions = {
      own: ["server"],
      installed: ["core", "snapshot-native"],
      foreign: { "copying-snapshotter": copyingSnapshotter },
      manifest: { optionalDependencies: { "other-snapshotter": "*" } },
    };
    await withApp(options, async (h) => {
      expect(await snapshotters(h)).toEqual(["overlayfs ok", "native ok", "copying ok"]);
      expect(await h.daemon.ctr(["plugins", "ls", "-d", "id==copying"])).toMatch(/ctrd\.package +copying-snapshotter/);
      expect(await echo(h)).toBe("from my snapshotter\n");
      expect(h.daemon.logs()).toContain(`"app":"${app}","packages":["copying-snapshotter@1.2.3"]`);
      expect(h.daemon.logs()).toContain(
        '"package":"other-snapshotter","reason":"it is an optional dependency and not installed"',
      );
      const inspected = await ctrd(["plugins", "inspect", "copying", "--address", h.daemon.address]);
      expect(inspected).toEqual({
        code: 0,
        stderr: "",
        stdout: `io.containerd.snapshotter.v1.copying
  package:      copying-snapshotter
  version:      1.2.3
  directory:    ${app}/node_modules/copying-snapshotter
  state:        ok
  exports:
    root = ${h.daemon.root}/io.containerd.snapshotter.v1.copying
`,
      });
      const graph = (await ctrd(["plugins", "graph", "--address", h.daemon.address])).stdout;
      expect(graph).toContain(
        '"io.containerd.metadata.v1.bolt" -> "io.containerd.snapshotter.v1.copying" [style=dashed];',
      );
    });
  });

  ctrdTest("takes some of the built-in ones, or none of them, instead", async () => {
    const foreign = { "copying-snapshotter": copyingSnapshotter };
    const builtins = core.map((folder) => `@ctrd/${folder}`);
    await withApp(
      { own: [], installed: ["core", "snapshot-native"], foreign, manifest: { ctrd: { builtins } } },
      async (h) => {
        expect(await snapshotters(h)).toEqual(["copying ok"]);
        expect(await echo(h)).toBe("from my snapshotter\n");
      },
    );
    const none: AppOptions = {
      own: core,
      installed: ["core", "snapshot-native"],
      foreign,
      manifest: { ctrd: { builtins: false } },
    };
    await withApp(none, async (h) => {
      expect(await snapshotters(h)).toEqual(["copying ok"]);
      expect(await echo(h)).toBe("from my snapshotter\n");
    });
  });

  ctrdTest("is the current directory when that is one", async () => {
    createApp(app, { own: ["server"], foreign: { mine: idlePlugin("test.v1", "mine") } });
    const nowhere = ["--config", "/dev/null", "--state", join(dir.path, "none")];
    const here = await ctrd(["plugins", "ls", ...nowhere], app);
    expect(here.stdout).toMatch(/^test\.v1 +mine +mine +1\.2\.3 +unknown$/m);
    expect((await ctrd(["plugins", "ls", ...nowhere], "/")).stdout).not.toContain("mine");
  });
});

describe("one error names packages, versions and the remedy", () => {
  const installed = ["core", "snapshot-native"];
  const serve = async (): Promise<string> => {
    const place = ["--root", join(dir.path, "root"), "--state", join(dir.path, "state"), "--config", "/dev/null"];
    const { code, stdout, stderr } = await ctrd(["--app", app, ...place]);
    expect([code, stdout]).toEqual([1, ""]);
    // The daemon's log is JSON.
    return stderr
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("{"))
      .join("\n")
      .replaceAll(app, "APP");
  };

  const cases: [string, Record<string, ForeignPackage>, string][] = [
    [
      "two plugins of one name",
      { mine: { ...idlePlugin("io.containerd.snapshotter.v1", "native") } },
      "plugin io.containerd.snapshotter.v1.native is registered twice, by @ctrd/snapshot-native@0.1.0 and mine@1.2.3; remove one of these packages, or give one of the plugins another id",
    ],
    [
      "a plugin for another API",
      { mine: { plugin: "", manifest: { ctrd: { plugin: "./plugin", api: 2 } } } },
      "mine@1.2.3 is written for plugin API 2, this ctrd (@ctrd/server@0.1.0) has API 1; upgrade @ctrd/server, or install an older mine",
    ],
    [
      "a plugin that throws on import",
      { mine: { plugin: 'import "not-installed";' } },
      "import plugin package mine@1.2.3 in APP/node_modules/mine: Cannot find package 'not-installed' imported from APP/node_modules/mine/plugin.js; upgrade it, or remove it from APP/package.json",
    ],
    [
      "an entry that exports no plugin",
      { mine: { plugin: "export default { id: 'x' };" } },
      "the plugin entry of mine@1.2.3 in APP/node_modules/mine exports no plugin: default.type must be a plugin type and is missing; its authors must export a registration, or an array of them, as the default",
    ],
    [
      "a requirement that nobody meets",
      { mine: idlePlugin("test.v1", "mine", 'requires: [{ name: "test.absent.v1" }]') },
      "plugin test.v1.mine (mine@1.2.3) requires a plugin of type test.absent.v1, and there is none; add a package that provides a plugin of type test.absent.v1 to the daemon, or remove mine",
    ],
    [
      "requirements in a ring",
      {
        left: idlePlugin("test.left.v1", "l", 'requires: [{ name: "test.right.v1" }]'),
        right: idlePlugin("test.right.v1", "r", 'requires: [{ type: { name: "test.left.v1" }, id: "l" }]'),
      },
      "plugins require each other in a ring: test.left.v1.l (left@1.2.3) → test.right.v1.r (right@1.2.3) → test.left.v1.l (left@1.2.3); remove one of these packages or requirements",
    ],
  ];
  for (const [name, foreign, message] of cases) {
    ctrdTest(name, async () => {
      createApp(app, { own: ["server"], installed, foreign });
      expect(await serve()).toBe(`ctrd: ${message}`);
    });
  }

  ctrdTest("two copies of core", async () => {
    createApp(app, { own: ["server"], installed, foreign: { mine: copyingSnapshotter } });
    const nested = join(app, "node_modules/mine/node_modules/@ctrd/core");
    writeJson(join(nested, "package.json"), { name: "@ctrd/core", version: "0.0.9" });
    expect(await serve()).toBe(
      "ctrd: two copies of @ctrd/core: mine@1.2.3 in APP/node_modules/mine uses 0.0.9 in " +
        `APP/node_modules/mine/node_modules/@ctrd/core, @ctrd/server@0.1.0 uses 0.1.0 in ${repository}/packages/core; ` +
        'run "npm dedupe" in APP; mine must have @ctrd/core in its "peerDependencies" only',
    );
  });

  ctrdTest("a dependency that is not installed, and a folder that is no app", async () => {
    createApp(app, { own: ["server"], manifest: { dependencies: { gone: "*" } } });
    expect(await serve()).toBe(
      'ctrd: gone, a dependency of APP/package.json, is not installed; run "npm install" in APP',
    );
    expect(await ctrd(["--app", dir.path])).toEqual({
      code: 1,
      stdout: "",
      stderr: `ctrd: app folder ${dir.path} has no package.json; give a folder whose package.json depends on the plugins\n`,
    });
  });
});

ctrdTest("a program embeds a daemon in ten lines", async () => {
  createApp(app, {
    own: ["server"],
    installed: ["core", "snapshot-native"],
    foreign: { "copying-snapshotter": copyingSnapshotter },
  });
  const program = `\
import { builtins, composeDaemon } from "@ctrd/server";
import copying from "copying-snapshotter/plugin";

const [root, state] = process.argv.slice(2);
const daemon = await composeDaemon({ plugins: [...builtins, copying], config: { root, state } });
await daemon.start();
process.once("SIGTERM", () => void daemon.stop());
`;
  expect(program.trim().split("\n").length).toBeLessThanOrEqual(10);
  writeFileSync(join(app, "program.js"), program);
  const state = join(dir.path, "state");
  const child = start(node, [...nodeFlags, "program.js", join(dir.path, "root"), state], { cwd: app });
  try {
    const list = ["--address", join(state, "ctrd.sock"), "plugins", "ls", "id==copying"];
    const listed = await until("the daemon answers", async () => {
      const result = await run("ctr", list);
      return result.code === 0 && result.stdout;
    });
    expect(listed).toMatch(/io\.containerd\.snapshotter\.v1 +copying +- +ok/);
  } finally {
    child.kill("SIGTERM");
  }
  expect(await exited(child)).toBe(0);
});
