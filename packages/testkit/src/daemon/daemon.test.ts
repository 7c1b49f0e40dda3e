// Whole daemons in this process, with what unmodified clients do to them.
import { cpSync, existsSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ContentPlugin } from "@ctrd/core/content";
import { failedPrecondition } from "@ctrd/core/errors";
import type { AnyRegistration } from "@ctrd/core/plugin";
import { pluginType, SkipPlugin } from "@ctrd/core/plugin";
import { proxyNamespaces } from "@ctrd/services";
import { expect, test } from "vitest";
import { busyboxImage } from "../fixtures/busybox.ts";
import { nodeBinary, workspaceRoot } from "../fixtures/ctrd.ts";
import { writeOciArchive } from "../fixtures/layouts.ts";
import { leakCheck } from "../fixtures/leak-check.ts";
import { mustRun } from "../fixtures/process.ts";
import { processesMentioning } from "../fixtures/system-state.ts";
import { tempDir } from "../fixtures/temp-dir.ts";
import { startTestDaemon } from "./index.ts";

const native = "io.containerd.snapshotter.v1.native";
const Thing = pluginType<string>("test.thing.v1");
const thing = (id: string, initFn: () => string = () => id): AnyRegistration => ({ type: Thing, id, initFn });

test("a daemon that is stopped while containers run leaves nothing behind", async () => {
  await using files = await tempDir();
  const name = "example.test/busybox:1";
  const archive = join(files.path, "busybox.tar");
  await writeOciArchive(archive, [{ image: await busyboxImage(), containerdName: name }]);
  await using daemon = await startTestDaemon();
  const base = join(daemon.address, "..");
  const leaks = await leakCheck({ root: base, markers: ["testkit-left"] });
  expect(await daemon.ctr(["images", "import", archive])).toMatchObject({ exitCode: 0 });
  for (const [namespace, id] of [
    ["default", "testkit-left-1"],
    ["other", "testkit-left-2"],
  ] as const) {
    expect(await daemon.ctr(["images", "import", archive], { namespace })).toMatchObject({ exitCode: 0 });
    const started = await daemon.ctr(["run", "--detach", name, id, "sleep", "1000"], { namespace });
    expect(started).toMatchObject({ exitCode: 0 });
  }
  expect(await daemon.ctr(["tasks", "pause", "testkit-left-1"])).toMatchObject({ exitCode: 0 });
  expect((await processesMentioning(base)).length).toBeGreaterThanOrEqual(2);
  await daemon.stop();
  await leaks.expectClean();
  expect(existsSync(base)).toBe(false);
  await daemon.stop();
});

test("daemons run side by side, and answer to programs and to channels", async () => {
  await using one = await startTestDaemon();
  await using two = await startTestDaemon();
  await proxyNamespaces(one.channel()).create(one.ctx, { name: "of-one", labels: new Map() });
  expect((await one.ctr(["namespaces", "ls", "--quiet"])).stdout).toBe("of-one\n");
  expect(await proxyNamespaces(two.channel()).list(two.ctx)).toEqual([]);
  expect(one.logs).toContainEqual(expect.objectContaining({ level: "info", message: "daemon ready" }));
});

test("a directory of the test's own is kept, and a daemon starts in it again", async () => {
  await using directory = await tempDir();
  for (const expected of ["", "kept\n"]) {
    await using daemon = await startTestDaemon({ dir: directory.path });
    expect((await daemon.ctr(["namespaces", "ls", "--quiet"])).stdout).toBe(expected);
    await daemon.ctr(["namespaces", "create", "kept"]);
  }
  expect(existsSync(join(directory.path, "root"))).toBe(true);
});

test("it has the plugins and the configuration that it is given", async () => {
  const bare = await startTestDaemon({ plugins: [thing("a"), [thing("b"), thing("c")]], builtins: false });
  expect(bare.daemon.getAll(Thing)).toEqual(["a", "b", "c"]);
  expect(bare.daemon.plugins).toHaveLength(3);
  await bare.stop();

  await using directory = await tempDir();
  const root_path = join(directory.path, "elsewhere");
  await using some = await startTestDaemon({
    builtins: ["@ctrd/content-local", "@ctrd/snapshot-native"],
    config: { plugins: { [native]: { root_path } }, disabled_plugins: [] },
    mustInitialise: false,
  });
  expect(some.daemon.getAll(ContentPlugin)).toHaveLength(1);
  expect(some.daemon.plugins.find(({ id }) => id === "native")?.config).toMatchObject({ root_path });
});

test("what cannot be started is said at once, and nothing is left of it", async () => {
  await using directory = await tempDir();
  const dir = directory.path;
  const failing = thing("bad", () => {
    throw failedPrecondition("no disk");
  });
  const skipping = thing("bad", () => {
    throw new SkipPlugin("no kernel module", "modprobe it");
  });
  await expect(startTestDaemon({ dir, plugins: [failing] })).rejects.toThrow(
    "plugin test.thing.v1.bad under test is failed: no disk",
  );
  await expect(startTestDaemon({ dir, plugins: [skipping] })).rejects.toThrow(
    "plugin test.thing.v1.bad under test is skipped: no kernel module; modprobe it",
  );
  await expect(startTestDaemon({ dir, config: { root: "/x" } })).rejects.toThrow('chooses "root" itself: give dir');
  await expect(startTestDaemon({ dir, builtins: ["nope"] })).rejects.toThrow(
    '"nope" is not built in; built in are @ctrd/',
  );
  await expect(startTestDaemon({ dir, config: { plugins: { [native]: { nope: 1 } } } })).rejects.toThrow("nope");
  await using daemon = await startTestDaemon({ dir, plugins: [skipping], mustInitialise: false });
  expect(daemon.daemon.plugins.find(({ id }) => id === "bad")).toMatchObject({ state: "skipped" });
});

test("without @ctrd/server the error says what to install", async () => {
  await using directory = await tempDir();
  // This package as a stranger has it, in a place from where no server is found.
  cpSync(join(workspaceRoot, "packages/testkit/src"), join(directory.path, "testkit/src"), { recursive: true });
  cpSync(join(workspaceRoot, "packages/testkit/package.json"), join(directory.path, "testkit/package.json"));
  mkdirSync(join(directory.path, "node_modules/@ctrd"), { recursive: true });
  for (const name of ["core", "services", "sys"]) {
    symlinkSync(join(workspaceRoot, "packages", name), join(directory.path, "node_modules/@ctrd", name));
  }
  const entry = pathToFileURL(join(directory.path, "testkit/src/daemon/index.ts")).href;
  const script = `const { startTestDaemon } = await import(${JSON.stringify(entry)});
    await startTestDaemon().catch((error) => console.log(error.kind, error.message));`;
  const { stdout } = await mustRun(nodeBinary(), ["--conditions=ctrd-source", "--input-type=module", "-e", script]);
  expect(stdout).toBe(
    "failed-precondition startTestDaemon starts the daemon of @ctrd/server, which is not installed; " +
      "run npm install --save-dev @ctrd/server: failed precondition\n",
  );
});
