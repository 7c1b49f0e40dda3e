/** Show 7: an executable of an app folder, made by `ctrd build`, alone on a machine without Node. */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { busyboxImage, pushImage, startRegistry, type TestRegistry } from "@ctrd/testkit/fixtures";
import { packPackages } from "../tools/pack.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createApp, idlePlugin } from "./support/app-folder.ts";
import { programDirectory, startBinary } from "./support/binary.ts";
import { describe, exited, run, runOk, start, until, type CommandResult } from "./support/command.ts";
import { daemonCommand, type Daemon } from "./support/daemon.ts";
import { watchEvents } from "./support/events.ts";
import { closeDaemon, removeClientFifos } from "./support/leaks.ts";
import { runName } from "./support/machine-state.ts";
import { Machine } from "./support/machine.ts";
import { startNpmRegistry } from "./support/npm-registry.ts";
import { repository, requirePeers } from "./support/peers.ts";
import { alive } from "./support/processes.ts";
import { tableRows, wordRows } from "./support/table.ts";

/** Everything, made and removed by this file; what the daemon has is in a directory of its own. */
let dir: string;
let app: string;
/** The executable, alone in its folder. */
let binary: string;
let environment: Record<string, string>;
let registry: TestRegistry;
let image: string;
let daemon: Daemon;
let buildMs: number;
let isReproducible: boolean;

/** A snapshotter that says what its worker thread and its data file told it. */
const threadedPlugin = `\
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import { SnapshotPlugin } from "@ctrd/core/snapshots";
import { openNativeSnapshotter } from "@ctrd/snapshot-native";

const label = createRequire(import.meta.url)("./label.cjs");

export default {
  type: SnapshotPlugin,
  id: "threaded",
  async initFn(ic) {
    const worker = new Worker(new URL("./answer-worker.js", import.meta.url));
    const [answer] = await once(worker, "message");
    ic.meta.exports.set("answer", answer);
    ic.meta.exports.set("motto", readFileSync(new URL("../motto.txt", import.meta.url), "utf8"));
    ic.meta.exports.set("label", label.read());
    const snapshotter = openNativeSnapshotter(ic.root);
    ic.onClose(() => snapshotter.close());
    return snapshotter;
  },
};
`;

function createThreadedApp(): void {
  createApp(app, {
    own: ["server"],
    installed: ["build", "core", "snapshot-native"],
    foreign: {
      "threaded-snapshotter": { plugin: threadedPlugin, manifest: { exports: { "./plugin": "./lib/plugin.js" } } },
    },
    manifest: { devDependencies: { "@ctrd/build": "*" } },
  });
  const home = join(app, "node_modules/threaded-snapshotter");
  const files = {
    "lib/plugin.js": threadedPlugin,
    "lib/answer-worker.js": `import { parentPort } from "node:worker_threads";
import { answer } from "./answer.js";
parentPort.postMessage(answer);`,
    "lib/answer.js": `export const answer = "from a thread";`,
    "lib/label.cjs": `const { readFileSync } = require("fs");
exports.read = () => readFileSync(require("path").join(__dirname, "..", "label.bin"), "latin1");`,
    "motto.txt": "from a file",
    "label.bin": "by its directory",
  };
  mkdirSync(join(home, "lib"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(home, name), text);
  rmSync(join(home, "plugin.js"));
}

function ctrdOfNode(...args: string[]): Promise<CommandResult> {
  const [node, flags] = daemonCommand("ctrd", "");
  return run(node, [...flags.slice(0, -2), ...args], { timeoutMs: 120_000 });
}

async function build(output: string): Promise<void> {
  const built = await ctrdOfNode("build", "--app", app, "--output", join(dir, output));
  expect(built.code, describe(built)).toBe(0);
}

/** Runs the executable with the environment that the daemon has. */
async function ctrd(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = start("env", ["-i", ...Object.entries(environment).map((entry) => entry.join("=")), binary, ...args]);
  const output = { stdout: "", stderr: "" };
  child.stdout?.on("data", (chunk) => (output.stdout += String(chunk)));
  child.stderr?.on("data", (chunk) => (output.stderr += String(chunk)));
  return { code: await exited(child), ...output };
}

beforeAll(async () => {
  requirePeers(["ctr", "containerd-shim-runc-v2", "runc", "docker-registry", "busybox"]);
  dir = mkdtempSync(`/tmp/ctrd-${runName()}-binary-`);
  app = join(dir, "app");
  createThreadedApp();
  const began = performance.now();
  await build("built/ctrd");
  buildMs = performance.now() - began;
  await build("built/again");
  isReproducible = readFileSync(join(dir, "built/ctrd")).equals(readFileSync(join(dir, "built/again")));
  mkdirSync(join(dir, "alone"));
  binary = join(dir, "alone/my-ctrd");
  copyFileSync(join(dir, "built/ctrd"), binary);
  // Nothing that it was made from is there any more.
  rmSync(app, { recursive: true });
  rmSync(join(dir, "built"), { recursive: true });
  const path = programDirectory(join(dir, "bin"), ["containerd-shim-runc-v2", "runc", "setpriv"]);
  environment = { PATH: path, XDG_CACHE_HOME: join(dir, "cache") };
  registry = await startRegistry();
  image = await pushImage(registry, "e2e/busybox", "1", await busyboxImage({ applets: "symlink" }));
  daemon = await startBinary(binary, join(dir, "data"), environment);
}, 180_000);

afterAll(async () => {
  try {
    if (daemon !== undefined) await closeDaemon(daemon);
  } finally {
    await registry?.[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true, force: true });
  }
});

test("7: it is made in seconds, the same each time, and needs nothing of what it was made from", async () => {
  expect(buildMs).toBeLessThan(30_000);
  expect(isReproducible).toBe(true);
  expect(readdirSync(join(dir, "alone"))).toEqual(["my-ctrd"]);
  expect(await run("/bin/sh", ["-c", "command -v node"], { env: { PATH: environment["PATH"] } })).toMatchObject({
    stdout: "",
  });
  expect(readFileSync(`/proc/${daemon.pid}/maps`, "utf8")).not.toContain(repository);
  // With the repository hidden below an empty file system, all plugins and the native modules they import still load.
  const script = `mount -t tmpfs none ${repository} && exec env -i XDG_CACHE_HOME=${join(dir, "cache")} ${binary} config default`;
  const hidden = await run("unshare", ["--mount", "/bin/sh", "-c", script]);
  expect(hidden, describe(hidden)).toMatchObject({ code: 0, stderr: "" });
});

test("7: ctr plugins ls shows exactly the chosen set", async () => {
  const expected = await ctrdOfNode("plugins", "ls", "--state", join(dir, "none"), "--config", "/dev/null");
  const ids = (rows: string[][]): string[] => rows.map(([type, id]) => `${type}.${id}`).sort();
  const shown = ids(wordRows(await daemon.ctr(["plugins", "ls"])).filter(([type]) => type?.startsWith("io.")));
  const builtIn = ids(wordRows(expected.stdout).filter(([type]) => type?.startsWith("io.")));
  expect(shown).toEqual([...builtIn, "io.containerd.snapshotter.v1.threaded"].sort());
});

test("7: threads and files of a third-party package are in it", async () => {
  const detail = await daemon.ctr(["plugins", "ls", "-d", "id==threaded"]);
  expect(detail).toMatch(/answer +from a thread/);
  expect(detail).toMatch(/motto +from a file/);
  expect(detail).toMatch(/label +by its directory/);
  expect(detail).toMatch(/ctrd\.package +threaded-snapshotter/);
});

test.each(["overlayfs", "native", "threaded"])("7: it pulls and runs with snapshotter %s", async (snapshotter) => {
  await daemon.ctr(["images", "pull", "--plain-http", "--snapshotter", snapshotter, image]);
  const id = daemon.id(snapshotter);
  const args = ["run", "--rm", "--snapshotter", snapshotter, image, id, "echo", "alone"];
  expect(await daemon.ctr(args)).toBe("alone\n");
  await daemon.ctr(["images", "rm", "--sync", image]);
});

test("7: events come through, and the command for shims publishes", async () => {
  const events = await watchEvents(daemon);
  try {
    await daemon.ctr(["images", "pull", "--plain-http", image]);
    const id = daemon.id("events");
    await daemon.ctr(["run", "--rm", image, id, "true"]);
    for (const topic of ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]) {
      await events.next(topic, (event) => event.topic === topic);
    }
    // An Any of containerd.events.NamespaceCreate with the name "n".
    const type = "containerd.events.NamespaceCreate";
    const event = Buffer.concat([Buffer.from([0x0a, type.length]), Buffer.from(`${type}\x12\x03\x0a\x01n`)]);
    const args = ["--address", daemon.address, "publish", "--topic", "/test/topic", "--namespace", daemon.namespace];
    await runOk(join(daemon.root, "ctrd"), args, { input: event, env: environment });
    await events.next("the published event", ({ topic }) => topic === "/test/topic");
  } finally {
    await events.stop();
  }
});

test("7: containers run on through kill -9 and restart", async () => {
  await daemon.ctr(["images", "pull", "--plain-http", "--snapshotter", "threaded", image]);
  const id = daemon.id("on");
  await daemon.ctr(["run", "-d", "--snapshotter", "threaded", image, id, "sleep", "1000"]);
  const task = async (): Promise<Record<string, string> | undefined> =>
    tableRows(await daemon.ctr(["tasks", "ls"])).find((row) => row["TASK"] === id);
  const pid = Number((await task())?.["PID"]);
  await daemon.kill9();
  expect(alive(pid)).toBe(true);
  await daemon.restart();
  expect(await task()).toMatchObject({ PID: String(pid), STATUS: "RUNNING" });
  expect(await daemon.ctr(["tasks", "exec", "--exec-id", "after", id, "echo", "still here"])).toBe("still here\n");
  await daemon.ctr(["tasks", "kill", "-s", "KILL", id]);
  await until("the task is stopped", async () => (await task())?.["STATUS"] === "STOPPED");
  await daemon.tryCtr(["tasks", "rm", id]);
  await daemon.ctr(["containers", "rm", id]);
  removeClientFifos(daemon.ids);
});

test("7: all commands work; Node's options are not taken", async () => {
  expect(await ctrd("--version")).toEqual({ code: 0, stdout: expect.stringMatching(/^ctrd \d/), stderr: "" });
  const printed = await ctrd("config", "default");
  expect(printed).toMatchObject({ code: 0, stderr: "" });
  expect(printed.stdout).toContain('[plugins."io.containerd.snapshotter.v1.overlayfs"]');
  const listed = await ctrd("plugins", "ls", "--address", daemon.address);
  expect(listed.stdout).toMatch(/io\.containerd\.snapshotter\.v1 +threaded +threaded-snapshotter +1\.2\.3 +ok/);
  expect((await ctrd("--inspect")).stderr).toContain("Unknown option '--inspect'");
  environment["NODE_OPTIONS"] = "--require=/none/such";
  expect(await ctrd("--version")).toMatchObject({ code: 0, stderr: "" });
  delete environment["NODE_OPTIONS"];
});

test("7: it says that its plugins are fixed, and that it makes no executables", async () => {
  createApp(app, { own: ["server"], foreign: { mine: idlePlugin("test.v1", "mine") } });
  const other = await ctrd("--app", app, "--config", "/dev/null");
  expect(other).toMatchObject({ code: 1, stdout: "" });
  expect(other.stderr).toBe(
    `ctrd: --app ${app}: the plugins of this executable were chosen when it was made; make another with the npm package ` +
      `@ctrd/server: ctrd build --app ${app} --output FILE\n`,
  );
  const built = await ctrd("build", "--app", app, "--output", join(dir, "never"));
  expect(built.stderr).toBe(
    `ctrd: ${binary} is a single executable and cannot make another; use the ctrd of the npm package @ctrd/server\n`,
  );
});

test("7: with packages from a registry, `ctrd build` asks for its builder, and then builds", async () => {
  // The default set without a snapshotter that the app does without.
  const folders = ["content-local", "snapshot-overlayfs", "events-exchange", "metadata-lmdb", "gc-scheduler"];
  const builtins = [...folders, "diff-walking", "runtime-v2", "grpc"].map((name) => `@ctrd/${name}`);
  await using npm = await startNpmRegistry();
  npm.publish(packPackages(join(dir, "packages")));
  const machineDir = join(dir, "machine");
  mkdirSync(machineDir);
  const machine = new Machine(machineDir, npm.url);
  const folder = join(dir, "installed");
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "installed", private: true, ctrd: { builtins } }));
  await machine.run(folder, "npm", "install", "@ctrd/server");
  const command = join(folder, "node_modules/.bin/ctrd");
  const args = ["build", "--output", "out/ctrd"];
  const refused = await run(command, args, { cwd: folder, env: machine.env });
  expect(refused).toMatchObject({
    code: 1,
    stderr: `ctrd: building an executable needs the package @ctrd/build; run "npm install --save-dev @ctrd/build" in ${folder}\n`,
  });
  await machine.run(folder, "npm", "install", "--save-dev", "@ctrd/build");
  const built = await run(command, args, { cwd: folder, env: machine.env });
  expect(built.code, describe(built)).toBe(0);
  expect(built.stdout).toMatch(/: 1\d\d MiB with /);
  expect(built.stdout.trimEnd().split(" with ")[1]).toBe(builtins.join(", "));
  const cache = join(dir, "cache-of-installed");
  const version = await run("env", ["-i", `XDG_CACHE_HOME=${cache}`, join(folder, "out/ctrd"), "--version"]);
  expect(version).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ctrd \d/) });
  const unpacked = readdirSync(cache, { recursive: true }).join("\n");
  expect(unpacked).toContain("@ctrd/diff-walking@");
  expect(unpacked).not.toContain("@ctrd/snapshot-native@");
}, 180_000);
