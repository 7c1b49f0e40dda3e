/**
 * Lets a daemon work on a disk whose writes are put down, then takes its power at many moments: what it has acknowledged
 * by then must be on the disk.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Client } from "@ctrd/client";
import { withMountedRootfs } from "@ctrd/client";
import type { KillWork, Ledger } from "@ctrd/testkit/faults";
import { buildImage, mustRun, pushImage, startCtrd, startRegistry } from "@ctrd/testkit/fixtures";
import { cliOf } from "../../e2e/support/cli.ts";
import { Daemon } from "../../e2e/support/daemon.ts";
import { killWorks, withClient } from "../../e2e/support/kill-works.ts";
import { runName } from "../../e2e/support/machine-state.ts";
import { chooseCuts, Replay } from "./cuts.ts";
import { recordDisk } from "./recorded-disk.ts";
import { RecordingLedger } from "./recording-ledger.ts";
import { treeDigest } from "./tree-digest.ts";
import { WriteLog } from "./write-log.ts";

const diskBytes = 192 << 20;
/** Layers are written to the disk only where that is asked for. */
const syncedLayers = '[plugins."io.containerd.snapshotter.v1.overlayfs"]\nsync_commit = true\n';

/** How often, and which. */
export interface PowerLossPlan {
  readonly cuts: number;
  readonly seed: number;
  readonly progress?: (line: string) => void;
}

/** What was tried. */
export interface PowerLossReport {
  readonly cuts: number;
  readonly writes: number;
  readonly flushes: number;
  /** Writes that were lost in all cuts. */
  readonly lost: number;
  /** Facts that were asked for, all of which were true. */
  readonly facts: number;
}

/** @throws Error that names the seed, the cut, and all that is wrong after it */
export async function losePower(plan: PowerLossPlan): Promise<PowerLossReport> {
  const dir = mkdtempSync(`/tmp/ctrd-${runName()}-power-`);
  try {
    return await losePowerIn(dir, plan);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function losePowerIn(dir: string, plan: PowerLossPlan): Promise<PowerLossReport> {
  const home = join(dir, "d");
  const root = join(home, "root");
  for (const path of [root, join(dir, "tmp"), join(dir, "disk")]) mkdirSync(path, { recursive: true });
  const disk = await recordDisk(join(dir, "disk"), root, diskBytes);
  const ledger = new RecordingLedger(disk.mark);
  let begin: () => void = () => undefined;
  let daemon: Daemon;
  try {
    const fixture = await startCtrd({ dir: home, env: { TMPDIR: join(dir, "tmp") }, extraConfig: syncedLayers });
    daemon = new Daemon("ctrd", home, fixture);
    begin = () => disk.mark("begin");
    begin();
    await work(daemon, ledger).finally(() => daemon.kill9());
  } finally {
    await disk.close();
  }
  const log = new WriteLog(disk.log);
  try {
    return await cutAll({ dir, root, daemon, log, ledger }, plan);
  } finally {
    log.close();
    await daemon.kill9();
  }
}

/** Works of all kinds, two at a time, as the kill runner has them. Containers do not outlive a loss of power. */
async function work(daemon: Daemon, ledger: Ledger): Promise<void> {
  await using registry = await startRegistry();
  const images = await Promise.all([1, 2].map((seed) => buildImage({ layers: layers(seed) })));
  const [pulled = "", transferred = ""] = await Promise.all(
    images.map((image, index) => pushImage(registry, "power/image", String(index), image)),
  );
  const place = { daemon, image: pulled, pulled, transferred };
  const works = killWorks(place).filter(({ name }) => !name.includes("container"));
  const [byCtr, byDaemon, ...others] = works as [KillWork, KillWork, ...KillWork[]];
  for (const [pull, image] of [
    [byCtr, pulled],
    [byDaemon, transferred],
  ] as const) {
    await pull.run(0, ledger);
    await withClient(daemon, (client) => acknowledgeFiles(daemon, client, image, ledger));
  }
  let run = 1;
  for (let round = 0; round < 2; round++) {
    for (let at = 0; at < others.length; at += 2) {
      await Promise.all(others.slice(at, at + 2).map((other) => other.run(run++, ledger)));
    }
  }
}

function layers(seed: number): Parameters<typeof buildImage>[0]["layers"] {
  return [1, 2].map((index) => ({ manyFiles: { count: 60, totalBytes: 1_500_000, seed: seed * 10 + index } }));
}

/** The files of an unpacked image are as they are now. */
async function acknowledgeFiles(daemon: Daemon, client: Client, reference: string, ledger: Ledger): Promise<void> {
  const image = await client.getImage(reference);
  const chain = await image.chainId();
  const look = (other: Client): Promise<string> => digestOfSnapshot(other, chain);
  const expected = await look(client);
  ledger.acknowledged(`image ${reference} files`, () =>
    withClient(daemon, async (other) => {
      const found = await look(other);
      if (found !== expected) throw new Error(`the files of ${chain} have changed`);
    }),
  );
}

async function digestOfSnapshot(client: Client, name: string): Promise<string> {
  const snapshotter = client.snapshotter("overlayfs");
  const key = `look-${name.slice(7, 19)}`;
  await snapshotter.view(client.context(), key, name, { labels: new Map([["containerd.io/gc.root", "kept"]]) });
  try {
    return await withMountedRootfs(client, "overlayfs", key, {}, treeDigest);
  } finally {
    await snapshotter.remove(client.context(), key);
  }
}

interface Scene {
  readonly dir: string;
  readonly root: string;
  readonly daemon: Daemon;
  readonly log: WriteLog;
  readonly ledger: RecordingLedger;
}

async function cutAll(scene: Scene, { cuts, seed, progress }: PowerLossPlan): Promise<PowerLossReport> {
  const { log, dir, ledger } = scene;
  const { entries } = log;
  const from = entries.findIndex((entry) => entry.kind === "mark" && entry.text === "begin");
  const counts = { writes: 0, flushes: 0 };
  for (const { kind } of entries.slice(from)) {
    if (kind === "write") counts.writes++;
    if (kind === "flush") counts.flushes++;
  }
  let [lost, facts] = [0, 0];
  const replay = await Replay.open(log, join(dir, "durable"), diskBytes, seed);
  try {
    for (const [index, cut] of chooseCuts(entries, from, cuts, seed).entries()) {
      const lostHere = await replay.imageAt(cut, join(dir, "image"));
      const known = ledger.at(entries, cut.at);
      const where = `seed ${seed}, cut ${index + 1}: after ${cut.at} of ${entries.length} entries, ${lostHere} writes lost`;
      const problems = await lookAfter(scene, known);
      if (problems.length > 0) throw new Error(`${where}:\n  ${problems.join("\n  ")}`);
      progress?.(`${where}; ${known.size} facts`);
      lost += lostHere;
      facts += known.size;
    }
  } finally {
    await replay.close();
  }
  return { cuts, lost, facts, ...counts };
}

/** Starts the daemon on the image of a disk. @returns what is wrong */
async function lookAfter({ dir, root, daemon }: Scene, known: Ledger): Promise<string[]> {
  await mustRun("mount", ["-o", "loop", join(dir, "image"), root]);
  try {
    // What is in memory is gone.
    await rm(daemon.state, { recursive: true, force: true });
    await mkdir(daemon.state, { mode: 0o711 });
    await daemon.restart();
    const lost = await known.verify();
    return [...lost, ...(await findings(daemon, dir))];
  } catch (error) {
    return [String(error)];
  } finally {
    await daemon.stop();
    await mustRun("umount", [root]);
  }
}

async function findings(daemon: Daemon, dir: string): Promise<string[]> {
  await withClient(daemon, async (client) => {
    for (const lease of await client.listLeases()) await lease.delete();
    await (await client.createLease({ id: "collect" })).delete({ sync: true });
  });
  const cli = cliOf({ daemon, path: (name) => join(dir, name) });
  const { code, stdout, stderr } = await cli.attempt(["doctor", "--json", "--deep", "--patience", "1"]);
  if (code === 0) return [];
  return stdout === ""
    ? [`ctrd doctor: ${stderr}`]
    : stdout
        .trim()
        .split("\n")
        .map((line) => `ctrd doctor: ${line}`);
}
