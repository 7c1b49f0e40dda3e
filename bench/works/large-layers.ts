/**
 * Layers that are large, not compressed and not unpacked: how fast one of 2 GiB comes from the registry beside `curl |
 * sha256sum`, and how much memory a pull of 5 GiB takes at its peak.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { createHash } from "node:crypto";
import { jsonBlob, mustRun, pushImage, type Blob, type ImageTree } from "@ctrd/testkit/fixtures";
import { commandLine } from "../command-line.ts";
import type { Side } from "../side.ts";
import { timed, type BenchContext, type Work } from "../work.ts";

const gibibyte = 1 << 30;
const pieceSize = 1 << 20;
const layerType = "application/vnd.oci.image.layer.v1.tar";

export const largeLayer: Work = {
  name: "layer-2g",
  unit: "MB/s",
  target: ">= 0.80 of curl | sha256sum",
  async run(side, context) {
    const { reference, layers } = await pushedOnce("two", [2], context);
    const bytes = 2 * gibibyte;
    const [layer] = layers;
    if (side.name === "theirs") {
      const url = `${context.scratch.url}/v2/bench/two/blobs/${layer}`;
      const took = await timed(() => mustRun("sh", ["-c", `curl -sf ${url} | sha256sum`], { timeoutMs: 300_000 }));
      return bytes / 1e3 / took;
    }
    const took = await timed(() => pullBlobs(side, reference));
    await removeBlobs(side, reference);
    return bytes / 1e3 / took;
  },
};

/** Peaks of the client's memory in MB, by side. */
const clientPeaks = new Map<Side["name"], number>();

export const pullMemory: readonly Work[] = [
  {
    name: "pull-5g-daemon",
    unit: "MB",
    target: "ours < 262 MB",
    once: true,
    async run(side, context) {
      const { reference } = await pushedOnce("five", [1, 1, 1, 1, 1], context);
      // Forgets the peak so far.
      await writeFile(`/proc/${side.daemon.pid}/clear_refs`, "5");
      clientPeaks.set(side.name, await pullBlobs(side, reference));
      const peak = await peakOf(side.daemon.pid);
      await removeBlobs(side, reference);
      return peak;
    },
  },
  {
    name: "pull-5g-client",
    unit: "MB",
    target: "ours < 262 MB",
    once: true,
    run: async ({ name }) => clientPeaks.get(name) ?? Number.NaN,
  },
];

/** Pulls without unpacking; returns the peak of the client's memory in MB. */
async function pullBlobs(side: Side, reference: string): Promise<number> {
  const where = ["--address", side.daemon.address, "--namespace", side.namespace];
  const [program, ...args] =
    side.name === "ours"
      ? [...commandLine, ...where, "pull", "--plain-http", "--no-unpack", reference]
      : ["ctr", ...where, "content", "fetch", "--plain-http", reference];
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"] });
  const { pid } = child;
  if (pid === undefined) throw new Error(`cannot start ${program}`);
  const ended = once(child, "exit") as Promise<[number | null]>;
  let peak = 0;
  while (child.exitCode === null && child.signalCode === null) {
    peak = await peakOf(pid).catch(() => peak);
    await Promise.race([ended, sleep(50)]);
  }
  const [code] = await ended;
  if (code !== 0) throw new Error(`${program} ${args.join(" ")}: exit code ${code}`);
  return peak;
}

/** The most memory that a process had resident, in MB. */
async function peakOf(pid: number): Promise<number> {
  const match = /^VmHWM:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, "utf8"));
  if (match === null) throw new Error(`no VmHWM of process ${pid}`);
  return (Number(match[1]) * 1024) / 1e6;
}

/** Large files leave few inodes behind: removing them disturbs nothing, and the disk stays free. */
async function removeBlobs(side: Side, reference: string): Promise<void> {
  if (side.name === "ours") await side.ctr("images", "rm", "--sync", reference);
  else await side.ctr("content", "rm", ...(await side.ctr("content", "ls", "-q")).trim().split("\n"));
}

interface Pushed {
  readonly reference: string;
  /** Digests. */
  readonly layers: readonly string[];
}

const known = new Map<string, Pushed>();

/** An image of layers of so many GiB each. */
async function pushedOnce(name: string, sizes: readonly number[], { scratch }: BenchContext): Promise<Pushed> {
  const before = known.get(name);
  if (before !== undefined) return before;
  const layers = sizes.map((size, index) => patternBlob(size * gibibyte, `${name}-${index}`));
  const config = jsonBlob("application/vnd.oci.image.config.v1+json", {
    ...{ os: "linux", architecture: "amd64", config: {} },
    rootfs: { type: "layers", diff_ids: layers.map(({ descriptor }) => descriptor.digest) },
  });
  const root = jsonBlob("application/vnd.oci.image.manifest.v1+json", {
    schemaVersion: 2,
    config: config.descriptor,
    layers: layers.map(({ descriptor }) => descriptor),
  });
  const tree: ImageTree = { root, blobs: [...layers, config] };
  const reference = await pushImage(scratch, `bench/${name}`, "1", tree);
  const pushed = { reference, layers: layers.map(({ descriptor }) => descriptor.digest) };
  known.set(name, pushed);
  return pushed;
}

/** A blob of one piece of random-looking bytes again and again. */
function patternBlob(size: number, seed: string): Blob {
  const piece = Buffer.alloc(pieceSize);
  for (let at = 0; at < pieceSize; at += 32) createHash("sha256").update(`${seed} ${at}`).digest().copy(piece, at);
  const hash = createHash("sha256");
  for (let at = 0; at < size; at += pieceSize) hash.update(piece);
  return {
    descriptor: { mediaType: layerType, digest: `sha256:${hash.digest("hex")}`, size },
    async *chunks() {
      for (let at = 0; at < size; at += pieceSize) yield piece;
    },
    bytes: () => Promise.reject(new Error("this blob is too large for one buffer")),
  };
}
