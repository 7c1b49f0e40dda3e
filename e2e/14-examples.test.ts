/** Item 7 of issue 3: each of `examples/`, installed and started by its README's commands, as a stranger would. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import {
  busyboxImage,
  connects,
  pushImage,
  runCommand,
  startBackground,
  startRegistry,
  waitUntilReady,
  writeOciLayout,
  type BackgroundProcess,
  type BuiltImage,
  type TestDaemon,
  type TestRegistry,
} from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, expect, test } from "vitest";
import { packPackages } from "../tools/pack.ts";
import { describe, run, runOk, until } from "./support/command.ts";
import { Daemon, startDaemon } from "./support/daemon.ts";
import { closeDaemon, leftMounts, leftProcesses, removeNamespaceDirectories } from "./support/leaks.ts";
import { list, runName } from "./support/machine-state.ts";
import { Machine } from "./support/machine.ts";
import { startNpmRegistry, type NpmRegistry } from "./support/npm-registry.ts";
import { peerTest, repository, requirePeers } from "./support/peers.ts";

let dir: string;
let npm: NpmRegistry;
let machine: Machine;
let images: TestRegistry;
let busybox: BuiltImage;
let image: string;

beforeAll(async () => {
  requirePeers(["ctr", "containerd-shim-runc-v2", "runc", "docker-registry", "busybox", "npm"]);
  dir = mkdtempSync(`/tmp/ctrd-${runName()}-examples-`);
  npm = await startNpmRegistry();
  npm.publish(packPackages(join(dir, "packages")));
  machine = new Machine(dir, npm.url);
  images = await startRegistry();
  const files = [{ path: "etc/greeting", data: "hello from a layer\n" }];
  busybox = await busyboxImage({ applets: "symlink", layers: [{ entries: files }] });
  image = await pushImage(images, "e2e/example", "1", busybox);
}, 120_000);

afterAll(async () => {
  await images?.[Symbol.asyncDispose]();
  await npm?.[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

/** Copies an example to where nothing of the repository is, and installs it, once. */
async function install(example: string): Promise<string> {
  const folder = join(dir, example);
  if (existsSync(folder)) return folder;
  cpSync(join(repository, "examples", example), folder, { recursive: true });
  await machine.run(folder, "npm", "install");
  return folder;
}

/** `npm start` in a session of its own, which `stop` ends as Ctrl-C would: npm passes no SIGTERM on. */
async function npmStart(folder: string, flags: readonly string[], address: string): Promise<BackgroundProcess> {
  const tmp = join(dirname(address), "tmp");
  mkdirSync(tmp, { recursive: true });
  const env = { ...machine.env, TMPDIR: tmp, NODE_DISABLE_COMPILE_CACHE: "1" };
  const args = [join(dir, "bin/npm"), "start", "--", ...flags];
  const started = await startBackground("setsid", args, join(dirname(address), "log"), { env, cwd: folder });
  await waitUntilReady(`npm start in ${folder}`, started, () => connects(address));
  return {
    ...started,
    async stop(signal = "SIGINT") {
      if (started.exitStatus() === undefined) process.kill(-started.pid, signal);
      await until("npm start has ended", () => started.exitStatus() !== undefined);
    },
  };
}

/** `npm start` of an example that is a daemon. */
async function startExample(folder: string): Promise<Daemon> {
  const base = mkdtempSync(`/tmp/ctrd-${runName()}-example-`);
  const paths = { root: join(base, "root"), state: join(base, "state"), address: join(base, "d.sock") };
  const flags = Object.entries(paths).flatMap(([name, path]) => [`--${name}`, path]);
  let running = await npmStart(folder, flags, paths.address);
  const fixture: TestDaemon = {
    ...paths,
    config: join(folder, "config.toml"),
    get pid() {
      return running.pid;
    },
    logs: () => running.output(),
    exitStatus: () => running.exitStatus(),
    stop: () => running.stop(),
    kill9: () => running.stop("SIGKILL"),
    async restart() {
      await running.stop();
      running = await npmStart(folder, flags, paths.address);
    },
    ctr: (args, options = {}) => runCommand("ctr", ["--address", paths.address, ...args], options),
    [Symbol.asyncDispose]: () => running.stop(),
  };
  return new Daemon("ctrd", base, fixture);
}

/** Runs the tests that an example has of its own. @returns what vitest says at the end */
async function ownTests(folder: string): Promise<string> {
  const result = await run(join(dir, "bin/npm"), ["test"], { cwd: folder, env: machine.env, timeoutMs: 120_000 });
  expect(result.code, describe(result)).toBe(0);
  return result.stdout;
}

peerTest(
  "7: own-daemon-fuse-overlayfs runs containers",
  ["fuse-overlayfs", "mount.fuse3"],
  async () => {
    const folder = await install("own-daemon-fuse-overlayfs");
    const daemon = await startExample(folder);
    try {
      const flags = ["--snapshotter", "fuse-overlayfs"];
      await daemon.ctr(["images", "pull", "--plain-http", ...flags, image]);
      const id = daemon.id("fuse");
      const show = "grep ' / ' /proc/mounts; cat /etc/greeting; rm /etc/greeting; ls /etc/greeting";
      const result = await daemon.tryCtr(["run", "--rm", ...flags, image, id, "sh", "-c", show]);
      expect(result.stdout).toMatch(/^\S+ \/ fuse\.fuse-overlayfs .*\nhello from a layer\n$/);
      expect(result.stderr).toContain("No such file");
      expect(leftMounts(daemon.dir)).toEqual([]);
      await daemon.ctr(["images", "rm", "--sync", image]);
      expect(list(`${daemon.root}/io.containerd.snapshotter.v1.fuse-overlayfs/snapshots`)).toEqual([]);
    } finally {
      await closeDaemon(daemon);
    }
    expect(await ownTests(folder)).toMatch(/Tests +\d+ passed \(\d+\)/);
    await expectRefusal(folder);
  },
  240_000,
);

/** Without the program the daemon, which insists on the snapshotter, says what it lacks. */
async function expectRefusal(folder: string): Promise<void> {
  const program = join(dir, "bin/fuse-overlayfs");
  renameSync(program, `${program}.away`);
  const flags = ["--root", join(dir, "root"), "--state", join(dir, "state")];
  const result = await run(join(dir, "bin/npm"), ["start", "--", ...flags], { cwd: folder, env: machine.env });
  renameSync(`${program}.away`, program);
  expect(result.code).not.toBe(0);
  expect(result.stderr).toContain("the program fuse-overlayfs is not in PATH");
  expect(result.stderr).toContain("apt-get install fuse-overlayfs");
}

test("7: own-daemon-aufs says why its snapshotter is skipped, and what to do", async () => {
  const folder = await install("own-daemon-aufs");
  const daemon = await startExample(folder);
  try {
    const hasAufs = /\taufs$/m.test(readFileSync("/proc/filesystems", "utf8"));
    expect(await daemon.ctr(["plugins", "ls", "id==aufs"])).toMatch(
      hasAufs ? /io\.containerd\.snapshotter\.v1 +aufs +\S+ +ok/ : /io\.containerd\.snapshotter\.v1 +aufs +- +skip/,
    );
    const ctrd = ["--no-install", "ctrd", "--address", daemon.address, "plugins"];
    const details = await machine.run(folder, "npx", ...ctrd, "inspect", "io.containerd.snapshotter.v1.aufs");
    expect(details).toMatch(/package: +aufs-snapshotter\n +version: +1\.0\.0\n/);
    if (!hasAufs) {
      expect(details).toContain("the kernel has no aufs: /proc/filesystems does not list it");
      expect(details).toContain("modprobe aufs");
    }
    // The rest of the daemon does its work.
    await daemon.ctr(["images", "pull", "--plain-http", image]);
    expect(await daemon.ctr(["run", "--rm", image, daemon.id("aufs"), "cat", "/etc/greeting"])).toBe(
      "hello from a layer\n",
    );
    await daemon.ctr(["images", "rm", "--sync", image]);
  } finally {
    await closeDaemon(daemon);
  }
  expect(await ownTests(folder)).toMatch(/Tests +5 passed/);
}, 180_000);

test("7: embedded runs a container in a daemon of the program's own", async () => {
  const folder = await install("embedded");
  const namespace = `${runName()}-embedded`;
  const env = { ...machine.env, CONTAINERD_NAMESPACE: namespace };
  const args = ["--silent", "start", "--", image, "cat", "/etc/greeting"];
  const result = await run(join(dir, "bin/npm"), args, { cwd: folder, env });
  expect(result.code, describe(result)).toBe(0);
  expect(result.stdout).toBe(`pulled ${image} ${busybox.root.descriptor.digest}\nhello from a layer\n`);
  expect([...leftMounts("/tmp/embedded-"), ...leftProcesses([namespace, "/tmp/embedded-"])]).toEqual([]);
  expect(list("/tmp").filter((path) => path.startsWith("/tmp/embedded-"))).toEqual([]);
  removeNamespaceDirectories(namespace);
}, 120_000);

for (const kind of ["containerd", "ctrd"] as const) {
  peerTest(
    `7: remote-snapshotter gives layers without a pull to ${kind}`,
    ["ctr-remote"],
    async () => {
      const folder = await install("remote-snapshotter");
      const base = join(dir, `shared-${kind}`);
      mkdirSync(base);
      const [layers, layout, socket] = [join(base, "layers"), join(base, "layout"), join(base, "s.sock")];
      await writeOciLayout(layout, [{ image: busybox }]);
      await machine.run(folder, "npm", "run", "publish-image", "--", layout, "--layers", layers);
      expect(list(layers)).toHaveLength(2);
      const flags = ["--layers", layers, "--root", join(base, "root"), "--socket", socket];
      const snapshotter = await npmStart(folder, flags, socket);
      const config = `[proxy_plugins.shared-layers]\ntype = "snapshot"\naddress = "${socket}"\n`;
      const daemon = await startDaemon("shared", { kind, config });
      try {
        await usePublished(daemon);
        await useOrdinary(daemon);
        expect(list(join(base, "root/snapshots"))).toEqual([]);
      } finally {
        await closeDaemon(daemon);
        await snapshotter.stop();
      }
      expect([...leftMounts(base), ...leftProcesses([base])]).toEqual([]);
    },
    120_000,
  );
}

/** An image whose layers the snapshotter has: only its manifest and configuration are pulled. */
async function usePublished(daemon: Daemon): Promise<void> {
  const pull = ["images", "rpull", "--plain-http", "--snapshotter", "shared-layers", image];
  await runOk("ctr-remote", [...daemon.flags(), ...pull], { env: { TMPDIR: daemon.tmp } });
  const documents = [busybox.root.descriptor.digest, busybox.config.descriptor.digest];
  expect((await daemon.ctr(["content", "ls", "-q"])).trim().split("\n").toSorted()).toEqual(documents.toSorted());
  const run = ["run", "--rm", "--snapshotter", "shared-layers", image, daemon.id("shared")];
  expect(await daemon.ctr([...run, "cat", "/etc/greeting"])).toBe("hello from a layer\n");
  await daemon.ctr(["images", "rm", "--sync", image]);
}

/** An image that nobody has published is unpacked as by any snapshotter. */
async function useOrdinary(daemon: Daemon): Promise<void> {
  const other = await pushImage(images, "e2e/ordinary", "1", await busyboxImage({ applets: "hardlink" }));
  await daemon.ctr(["images", "pull", "--plain-http", "--snapshotter", "shared-layers", other]);
  const run = ["run", "--rm", "--snapshotter", "shared-layers", other, daemon.id("ordinary")];
  expect(await daemon.ctr([...run, "echo", "hi"])).toBe("hi\n");
  await daemon.ctr(["images", "rm", "--sync", other]);
}

test("7: the tests of remote-snapshotter pass", async () => {
  expect(await ownTests(await install("remote-snapshotter"))).toMatch(/Tests +\d+ passed \(\d+\)/);
}, 120_000);
