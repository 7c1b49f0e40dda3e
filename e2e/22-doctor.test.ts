/** Issue 6, Build 2 and Shows 4: `ctrd doctor` finds and mends what was broken on purpose, and nothing else. */
import { appendFileSync, chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { rmSync, statSync, unlinkSync, utimesSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Client } from "@ctrd/client";
import { connect } from "@ctrd/client";
import { layeredImage, pushImage } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Cli } from "./support/cli.ts";
import { cliOf } from "./support/cli.ts";
import { exited, run, runOk, sha256, start, until } from "./support/command.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { ctrdTest, daemonKind, repository } from "./support/peers.ts";
import { leaveIngest, putBlob } from "./support/stored-things.ts";

let h: Harness;
let cli: Cli;
let client: Client;
beforeAll(async () => {
  h = await openHarness("doctor");
  cli = cliOf(h);
  client = await connect(h.daemon.address, { namespace: h.daemon.namespace });
});
/** What the doctor removes, and a failed test must. */
const undo: (() => void | Promise<unknown>)[] = [];
afterAll(async () => {
  for (const step of undo.reverse()) await step();
  client?.close();
  await h?.close();
});

interface Finding {
  Check: string;
  Severity: string;
  Object: string;
  Problem: string;
  Remedy: string;
  Repaired: string | null;
  Failure: string | null;
}

/** Runs the doctor; the daemon has nothing else to do. */
async function doctor(...flags: string[]): Promise<{ code: number | null; findings: Finding[] }> {
  const { code, stdout, stderr } = await cli.attempt(["doctor", "--json", "--patience", "1", ...flags]);
  expect(stderr).toBe("");
  const lines = stdout.split("\n").filter((line) => line !== "");
  return { code, findings: lines.map((line) => JSON.parse(line) as Finding) };
}

const brief = ({ Check, Object: object }: Finding): string => `${Check}: ${object}`;
const longAgo = new Date(Date.now() - 3 * 24 * 3600 * 1000);
const content = (...path: string[]): string => join(h.daemon.root, "io.containerd.content.v1.content", ...path);
const blobPath = (digest: string): string => content("blobs", "sha256", digest.slice(7));
const snapshots = (...path: string[]): string =>
  join(h.daemon.root, "io.containerd.snapshotter.v1.overlayfs/snapshots", ...path);
const bundle = (id: string): string => join(h.daemon.state, "io.containerd.runtime.v2.task", h.daemon.namespace, id);

test("6.2: a busy daemon is healthy", async () => {
  const layered = await pushImage(h.registry, "e2e/layers", "1", await layeredImage(4));
  const work = new AbortController();
  const busy = Promise.all([churn(work.signal, "one"), churn(work.signal, "two"), pulls(work.signal, layered)]);
  try {
    for (let round = 0; round < 3; round++) {
      const { code, stdout, stderr } = await cli.attempt(["doctor", "--deep"]);
      expect({ code, stderr, stdout }).toEqual({
        code: 0,
        stderr: "",
        stdout: expect.stringMatching(/Healthy: \d+ checks found nothing\.\n$/),
      });
    }
  } finally {
    work.abort();
    await busy;
  }
});

/** Pulls, unpacks and removes, until it is told to stop. */
async function pulls(signal: AbortSignal, reference: string): Promise<void> {
  while (!signal.aborted) {
    await h.daemon.ctr(["images", "pull", "--plain-http", reference]);
    await h.daemon.ctr(["images", "rm", "--sync", reference]);
  }
}

/** Runs, stores and collects, until it is told to stop. */
async function churn(signal: AbortSignal, name: string): Promise<void> {
  for (let round = 0; !signal.aborted; round++) {
    const id = h.daemon.id(`${name}-${round}`);
    await h.daemon.ctr(["run", h.image, id, "sh", "-c", "echo x > /file; sleep 0.2"]);
    await putBlob(client, `${name} ${round}`);
    await client.loadContainer(id).then((container) => container.delete({ snapshot: true, kill: true }));
    await client.createLease({ id }).then((lease) => lease.delete({ sync: true }));
  }
}

test("6.2: bad blobs are found, moved away, and fetched again", async () => {
  const [layer = ""] = h.busybox.layers.map(({ descriptor }) => descriptor.digest);
  const config = h.busybox.config.descriptor.digest;
  const bytes = readFileSync(blobPath(layer));
  const lost = await putBlob(client, "its file is lost", { "containerd.io/gc.root": "x" });
  chmodSync(blobPath(layer), 0o644);
  appendFileSync(blobPath(layer), "too much");
  chmodSync(blobPath(config), 0o644);
  writeFileSync(blobPath(config), readFileSync(blobPath(config)).fill("x", 10, 11));
  unlinkSync(blobPath(lost));
  const shallow = await doctor();
  expect(shallow.code).toBe(1);
  expect(shallow.findings.map(brief).sort()).toEqual([`content: content ${layer}`, `content: content ${lost}`].sort());
  const found = shallow.findings.find(({ Object: object }) => object.endsWith(layer));
  expect(found?.Problem).toBe(`its file has ${bytes.length + 8} bytes, and should have ${bytes.length}`);
  expect(found?.Remedy).toContain(`ctrd pull ${h.image}`);
  const repaired = await doctor("--deep", "--repair");
  expect(repaired.findings.map(brief).sort()).toEqual(
    [layer, lost, config].map((one) => `content: content ${one}`).sort(),
  );
  expect(repaired.findings.every(({ Repaired }) => Repaired !== null)).toBe(true);
  expect(repaired.code).toBe(0);
  expect(
    readdirSync(join(h.daemon.root, "quarantine"))
      .map((name) => name.slice(7, 71))
      .sort(),
  ).toEqual([layer, config].map((digest) => digest.slice(7)).sort());
  expect(await doctor("--deep")).toEqual({ code: 0, findings: [] });
  // Without unpacking: what is unpacked is not fetched.
  await cli.ctrd("pull", "--no-unpack", h.image);
  expect(sha256(readFileSync(blobPath(layer)))).toBe(layer.slice(7));
  expect(sha256(readFileSync(blobPath(config)))).toBe(config.slice(7));
  expect(await cli.ctrd("run", "--rm", h.image, "echo", "works")).toBe("works\n");
  expect((await doctor("--deep")).code).toBe(0);
});

test("6.2: what nobody owns is found and removed", async () => {
  const made = h.daemon.id("made");
  await h.daemon.ctr(["containers", "create", h.image, made, "true"]);
  await leaveIngest(client, "stale", "half");
  const [ingest = ""] = readdirSync(content("ingest"));
  writeFileSync(content("ingest", ingest, "updatedat"), longAgo.toISOString());
  // containerd looks at the data.
  utimesSync(content("ingest", ingest, "data"), longAgo, longAgo);
  const stray = blobPath(`sha256:${sha256("stray")}`);
  writeFileSync(stray, "stray", { mode: 0o444 });
  utimesSync(stray, longAgo, longAgo);
  const strayIngest = content("ingest", sha256("stray"));
  mkdirSync(strayIngest);
  writeFileSync(join(strayIngest, "ref"), `${h.daemon.namespace}/77/gone`);
  utimesSync(strayIngest, longAgo, longAgo);
  const ghost = h.daemon.id("ghost");
  mkdirSync(join(bundle(ghost), "rootfs"), { recursive: true });
  await runOk("mount", ["-t", "tmpfs", "none", join(bundle(ghost), "rootfs")]);
  undo.push(() => run("umount", [join(bundle(ghost), "rootfs")]));
  utimesSync(bundle(ghost), longAgo, longAgo);
  const cgroups = makeCgroups(ghost);
  const socket = await deadSocket(made);
  chmodSync(h.daemon.root, 0o755);
  const expected = [
    `ingests: ingest stale (namespace ${h.daemon.namespace})`,
    `stray-blobs: ${stray}`,
    `ingests: ${strayIngest}`,
    `bundles: ${bundle(ghost)}`,
    `sockets: ${socket}`,
    `permissions: ${h.daemon.root}`,
    ...cgroups.map((path) => `cgroups: ${path}`),
    ...(daemonKind === "ctrd" ? await strayOverlays() : []),
  ];
  const found = await doctor();
  expect(found.code).toBe(1);
  expect(found.findings.map(brief).sort()).toEqual(expected.sort());
  const repaired = await doctor("--repair");
  expect(repaired.findings.filter(({ Repaired }) => Repaired === null)).toEqual([]);
  expect(repaired.code).toBe(0);
  expect(await doctor()).toEqual({ code: 0, findings: [] });
  for (const path of [stray, strayIngest, bundle(ghost), socket, ...cgroups]) expect(existsSync(path)).toBe(false);
  expect(statSync(h.daemon.root).mode & 0o066).toBe(0);
  await h.daemon.ctr(["containers", "rm", made]);
});

/** Cgroups of a container that is not there, in each hierarchy that has its namespace. */
function makeCgroups(id: string): string[] {
  const roots = existsSync("/sys/fs/cgroup/cgroup.controllers")
    ? ["/sys/fs/cgroup"]
    : ["memory", "pids"].map((name) => `/sys/fs/cgroup/${name}`);
  return roots.map((root) => {
    const path = join(root, h.daemon.namespace, id);
    mkdirSync(path, { recursive: true });
    undo.push(() => run("rmdir", [path]));
    return path;
  });
}

/** The socket that a shim of the container would have, as one leaves it that was killed. */
async function deadSocket(id: string): Promise<string> {
  const path = `/run/containerd/s/${sha256(join(h.daemon.address, h.daemon.namespace, id))}`;
  const script = "require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))";
  await exited(start(`${repository}/node_modules/.bin/node`, ["-e", script, path]));
  expect(existsSync(path)).toBe(true);
  undo.push(() => rmSync(path, { force: true }));
  return path;
}

/** A directory of no snapshot, and a mount of a snapshot that was removed. */
async function strayOverlays(): Promise<string[]> {
  for (const name of ["9998/fs", "9999/fs", "9999/work"]) mkdirSync(snapshots(name), { recursive: true });
  for (const name of ["9998", "9999"]) utimesSync(snapshots(name), longAgo, longAgo);
  const target = h.path("mnt");
  mkdirSync(target);
  const options = `lowerdir=${snapshots("9998/fs")},upperdir=${snapshots("9999/fs")},workdir=${snapshots("9999/work")}`;
  await runOk("mount", ["-t", "overlay", "overlay", "-o", options, target]);
  undo.push(() => run("umount", [target]));
  return [`snapshots: ${snapshots("9998")}`, `snapshots: ${snapshots("9999")}`, `mounts: ${target}`];
}

ctrdTest("6.2: what cannot be mended safely is explained", async () => {
  const id = await cli.background("--name", "runs", h.image, "sleep", "1000");
  // A shim whose bundle the daemon did not find when it began.
  await h.daemon.stop();
  const away = h.path("bundle-away");
  renameSync(bundle(id), away);
  await h.daemon.restart();
  // And a layer whose directory is gone.
  const [layer = ""] = readdirSync(snapshots()).toSorted((a, b) => Number(a) - Number(b));
  renameSync(snapshots(layer), h.path("layer-away"));
  try {
    const { code, findings } = await doctor("--repair");
    expect(code).toBe(1);
    expect(findings.map(({ Check, Severity, Repaired }) => [Check, Severity, Repaired])).toEqual([
      ["snapshots", "error", null],
      ["shims", "warning", null],
    ]);
    expect(findings[0]?.Problem).toBe(`its directory ${snapshots(layer)} is missing`);
    expect(findings[1]?.Object).toContain(` of ${id} (namespace ${h.daemon.namespace})`);
    expect(await cli.ctrd("why", "runs")).toMatch(/^Something of a task is there that the daemon does not have/);
  } finally {
    renameSync(h.path("layer-away"), snapshots(layer));
    await h.daemon.stop();
    renameSync(away, bundle(id));
    await h.daemon.restart();
  }
  await until("the shim is found again", async () => (await cli.ctrd("tasks", "ls", "-q")).includes(id));
  renameSync(bundle(id), away);
  const lost = await cli.attempt(["doctor", "--patience", "1"]);
  renameSync(away, bundle(id));
  const { namespace } = h.daemon;
  expect(lost.stdout).toBe(
    `error    task ${id} (namespace ${namespace}): its bundle is missing\n` +
      "         it cannot be stopped, attached to or asked\n" +
      `         to do: restart the daemon, which cleans up after it; then: ctrd -n ${namespace} start ${id}\n` +
      "not checked: digests (the bytes of each blob have its digest): it reads everything: ask with --deep\n" +
      "1 error and 0 warnings in 12 checks.\n",
  );
  expect(lost).toMatchObject({ code: 1, stderr: "" });
  expect((await doctor()).code).toBe(0);
  await cli.ctrd("rm", "-f", "runs");
});

test("6.2: it says where it must run", async () => {
  const result = await cli.attempt(["doctor", "--root", h.path("nowhere")]);
  expect(result).toMatchObject({ code: 1, stderr: expect.stringContaining("on the daemon's own machine") });
  expect((await run("ls", [dirname(h.path("nowhere"))])).stdout).not.toContain(basename(h.path("nowhere")));
  rmSync(join(h.daemon.root, "quarantine"), { recursive: true, force: true });
});
