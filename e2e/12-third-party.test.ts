/** Shows 1 and 8: a stranger's package, from an empty folder to `ctr run`, and across an upgrade of the daemon. */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestRegistry } from "@ctrd/testkit/fixtures";
import {
  busyboxImage,
  connects,
  pushImage,
  startBackground,
  startRegistry,
  waitUntilReady,
} from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, expect, test } from "vitest";
import { packPackages, type Packed } from "../tools/pack.ts";
import { Machine, startApp } from "./support/machine.ts";
import { describe, run, sha256 } from "./support/command.ts";
import { startDaemon, type Daemon } from "./support/daemon.ts";
import { closeDaemon, leftMounts, leftProcesses } from "./support/leaks.ts";
import { list, runName } from "./support/machine-state.ts";
import { startNpmRegistry, type NpmRegistry } from "./support/npm-registry.ts";
import { repository, requirePeers } from "./support/peers.ts";
import { tableRows } from "./support/table.ts";

const script = `${repository}/docs/quickstart-plugin.sh`;
const kinds = ["snapshotter", "content", "differ", "service"];
const name = "my-snapshotter";

let dir: string;
let npm: NpmRegistry;
let images: TestRegistry;
let image: string;
let packed: Packed[];
let machine: Machine;
/** Tarball of the scaffolded snapshotter. */
let plugin: string;
/** App folder with the daemon and the scaffolded snapshotter. */
let app: string;

beforeAll(async () => {
  requirePeers(["ctr", "containerd-shim-runc-v2", "runc", "docker-registry", "busybox", "npm"]);
  dir = mkdtempSync(`/tmp/ctrd-${runName()}-third-`);
  mkdirSync(join(dir, "tmp"));
  npm = await startNpmRegistry();
  packed = packPackages(join(dir, "packages"));
  npm.publish(packed);
  machine = new Machine(dir, npm.url);
  images = await startRegistry();
  image = await pushImage(images, "e2e/busybox", "1", await busyboxImage());
  await machine.run(dir, "npm", "create", "--yes", "ctrd-plugin", name);
  await machine.run(join(dir, name), "npm", "pack");
  plugin = join(dir, name, `${name}-0.1.0.tgz`);
  app = join(dir, "app");
  mkdirSync(app);
  writeFileSync(join(app, "package.json"), JSON.stringify({ name: "app", private: true }));
  // The native modules come built: nothing of them has to run at installation.
  const flags = ["--save-exact", "--ignore-scripts"];
  await machine.run(app, "npm", "install", ...flags, `@ctrd/server@${version()}`, plugin);
}, 120_000);

afterAll(async () => {
  await images?.[Symbol.asyncDispose]();
  await npm?.[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

/** The version that the packages have, with its minor number `more` higher. */
function version(more = 0): string {
  const [major, minor] = (packed[0]?.manifest.version ?? "").split(".").map(Number);
  return more === 0 ? (packed[0]?.manifest.version ?? "") : `${major}.${(minor ?? 0) + more}.0`;
}

async function pullAndRun(daemon: Daemon, container: string, text: string): Promise<string> {
  await daemon.ctr(["images", "pull", "--plain-http", "--snapshotter", name, image]);
  return daemon.ctr(["run", "--rm", "--snapshotter", name, image, daemon.id(container), "echo", text]);
}

test("1: from an empty folder to `ctr run --snapshotter`, by a script of at most 30 lines, without a compiler", async () => {
  expect(readFileSync(script, "utf8").trimEnd().split("\n").length).toBeLessThanOrEqual(30);
  expect(await machine.compilers()).toBe("");
  const empty = join(dir, "empty");
  mkdirSync(empty);
  const namespace = `${runName()}-quickstart`;
  const began = performance.now();
  const result = await run("/bin/sh", [script, image, "--plain-http"], {
    cwd: empty,
    env: { ...machine.env, CONTAINERD_NAMESPACE: namespace },
    timeoutMs: 120_000,
  });
  expect(result.code, describe(result)).toBe(0);
  expect(result.stdout.trimEnd().split("\n").at(-1)).toBe(`hello from ${name}`);
  expect((performance.now() - began) / 1000).toBeLessThan(60);
  expect([...leftMounts(empty), ...leftProcesses([empty])]).toEqual([]);
  const cgroups = list("/sys/fs/cgroup").map((controller) => join(controller, namespace));
  for (const path of [`/run/containerd/runc/${namespace}`, ...cgroups]) removeIfEmpty(path);
}, 120_000);

test("5: every scaffold passes its own `npm test` and type check untouched", async () => {
  const folder = join(dir, "scaffolds");
  mkdirSync(folder);
  // Workspaces: one installation for all.
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({ private: true, workspaces: kinds.map((kind) => `a-${kind}`) }),
  );
  for (const kind of kinds)
    await machine.run(folder, "npm", "create", "--yes", "ctrd-plugin", `a-${kind}`, "--", "--kind", kind);
  await machine.run(folder, "npm", "install");
  for (const kind of kinds) {
    await machine.run(join(folder, `a-${kind}`), "npm", "run", "typecheck");
    const tests = await run(join(dir, "bin/npm"), ["test"], { cwd: join(folder, `a-${kind}`), env: machine.env });
    expect(tests.code, describe(tests)).toBe(0);
    expect(tests.stdout).toMatch(/Tests +\d+ passed \(\d+\)/);
  }
}, 240_000);

test("5: the scaffolded content store, differ and service do their work in a daemon", async () => {
  const [folder, data] = [join(dir, "others"), join(dir, "others-data")];
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "others", private: true }));
  const tarballs: string[] = [];
  for (const kind of ["content", "differ", "service"]) {
    await machine.run(folder, "npm", "create", "--yes", "ctrd-plugin", `b-${kind}`, "--", "--kind", kind);
    await machine.run(join(folder, `b-${kind}`), "npm", "pack");
    tarballs.push(`./b-${kind}/b-${kind}-0.1.0.tgz`);
  }
  await machine.run(folder, "npm", "install", `@ctrd/server@${version()}`, ...tarballs);
  const config = `disabled_plugins = ["io.containerd.content.v1.content"]
[plugins."io.containerd.service.v1.diff-service"]
default = ["b-differ"]
`;
  const daemon = await startApp(machine, folder, data, config);
  try {
    await daemon.ctr(["images", "pull", "--plain-http", image]);
    expect(await daemon.ctr(["run", "--rm", image, daemon.id("others"), "echo", "all three"])).toBe("all three\n");
    const [manifest = ""] = tableRows(await daemon.ctr(["images", "ls"])).map((row) => row["DIGEST"]);
    const blob = `io.containerd.content.v1.b-content/blobs/${manifest?.replace(":", "/")}`;
    expect(sha256(readFileSync(join(daemon.root, blob)))).toBe(manifest?.slice("sha256:".length));
    const client = `
      import { createContext } from "@ctrd/core/context";
      import { openChannel } from "@ctrd/services";
      import { SummaryDefinition } from "b-service";
      using channel = openChannel("${daemon.address}");
      const ctx = createContext({ namespace: "${daemon.namespace}" });
      console.log(JSON.stringify(await channel.client(SummaryDefinition).get(ctx, {})));`;
    writeFileSync(join(folder, "client.mjs"), client);
    expect(JSON.parse(await machine.run(folder, "node", "client.mjs"))).toEqual({ images: 1, containers: 0 });
    await daemon.ctr(["images", "rm", "--sync", image]);
  } finally {
    await closeDaemon(daemon);
  }
}, 120_000);

test.each(["ctrd", "containerd"] as const)("2: the same package as a process behind %s", async (kind) => {
  const socket = join(dir, `${kind}.sock`);
  const args = [join(app, "node_modules/.bin", name), "--root", join(dir, `${kind}-snapshots`), "--socket", socket];
  const server = await startBackground(join(dir, "bin/node"), args, join(dir, `${kind}.log`), { cwd: app });
  try {
    await waitUntilReady(name, server, () => connects(socket));
    const daemon = await startDaemon(`proxy-${kind}`, {
      kind,
      config: `[proxy_plugins.${name}]\n  type = "snapshot"\n  address = "${socket}"\n`,
    });
    try {
      expect(await pullAndRun(daemon, "proxied", `through ${kind}`)).toBe(`through ${kind}\n`);
      const snapshots = ["snapshots", "--snapshotter", name];
      const keys = async (): Promise<unknown[]> =>
        tableRows(await daemon.ctr([...snapshots, "ls"])).map((row) => row["KEY"]);
      const [layer = ""] = await keys();
      await daemon.ctr([...snapshots, "prepare", "active", String(layer)]);
      await daemon.ctr([...snapshots, "commit", "committed", "active"]);
      expect(await keys()).toEqual(expect.arrayContaining(["committed", layer]));
      await daemon.ctr([...snapshots, "rm", "committed"]);
      expect(await keys()).toEqual([layer]);
      await daemon.ctr(["images", "rm", "--sync", image]);
    } finally {
      await closeDaemon(daemon);
    }
  } finally {
    await server.stop();
  }
});

test("8: upgrading the daemon by a minor version takes no new build of the package", async () => {
  const data = join(dir, "upgrade");
  const before = fingerprint(join(app, "node_modules", name));
  const old = await startApp(machine, app, data);
  try {
    expect(await old.ctr(["version"])).toContain(version());
    expect(await pullAndRun(old, "old", "before")).toBe("before\n");
  } finally {
    await old.stop();
  }

  npm.publish(packPackages(join(dir, "newer"), version(1)));
  await machine.run(app, "npm", "install", "--save-exact", `@ctrd/server@${version(1)}`);
  await machine.run(app, "npm", "ls", "--all");
  const copies = JSON.parse(await machine.run(app, "npm", "query", "[name=@ctrd/core]")) as { version: string }[];
  expect(copies.map((copy) => copy.version)).toEqual([version(1)]);
  expect(fingerprint(join(app, "node_modules", name))).toBe(before);

  const upgraded = await startApp(machine, app, data);
  for (const namespace of old.namespaces) upgraded.namespaces.add(namespace);
  for (const id of old.ids) upgraded.ids.add(id);
  try {
    const sameNamespace = ["--namespace", old.namespace];
    expect(await upgraded.ctr(["version"])).toContain(version(1));
    const rows = tableRows(await upgraded.ctr(["plugins", "ls"]));
    expect(rows.find((row) => row["ID"] === name)).toMatchObject({
      TYPE: "io.containerd.snapshotter.v1",
      STATUS: "ok",
    });
    // The image that the old version unpacked.
    const id = upgraded.id("new");
    const run = ["run", "--rm", "--snapshotter", name, image, id, "echo", "after"];
    expect(await upgraded.ctr([...sameNamespace, ...run])).toBe("after\n");
    await upgraded.ctr([...sameNamespace, "images", "rm", "--sync", image]);
  } finally {
    await closeDaemon(upgraded);
  }
}, 120_000);

/** Digest of all files of a package. */
function fingerprint(folder: string): string {
  const hash = createHash("sha256");
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  for (const path of files.map((entry) => join(entry.parentPath, entry.name)).sort()) {
    hash.update(path).update(readFileSync(path));
  }
  return hash.digest("hex");
}

function removeIfEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    return; // never made
  }
}
