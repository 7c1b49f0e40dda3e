/**
 * Check of snapshotters: records ↔ directories.
 *
 * @module
 */
import { join } from "node:path";
import { SnapshotKind } from "@ctrd/core/snapshots";
import { messageOf } from "@ctrd/core/errors";
import { readSnapshotRecords } from "@ctrd/storage";
import { names, oldSize } from "./files.ts";
import type { Check, Finding } from "./finding.ts";
import type { DoctorScope, LocalSnapshotter } from "./scope.ts";

/** Snapshots have their directories, and directories their snapshots. */
export const snapshots: Check = {
  name: "snapshots",
  about: "each snapshot has its directory, and each directory its snapshot",
  obstacle({ snapshotters }) {
    if (snapshotters.length === 0) return "no snapshotter keeps its files on this machine";
    if (snapshotters.some(({ database }) => database !== undefined)) return undefined;
    return "their databases cannot be read while containerd runs";
  },
  async run(scope) {
    const findings: Finding[] = [];
    for (const snapshotter of scope.snapshotters) {
      if (snapshotter.database !== undefined)
        findings.push(...(await compare(scope, snapshotter, snapshotter.database)));
    }
    return findings;
  },
};

async function compare(scope: DoctorScope, snapshotter: LocalSnapshotter, database: string): Promise<Finding[]> {
  const directory = join(snapshotter.root, "snapshots");
  const before = new Set(await names(directory));
  const records = await readSnapshotRecords(database);
  const after = new Set(await names(directory));
  const ids = new Set(records.map(({ id }) => id));
  const strays = [...before].filter((name) => !ids.has(name) && after.has(name) && !isUnfinished(name, ids));
  const lost = records.filter(({ id, info }) => info.kind !== SnapshotKind.View && !before.has(id) && !after.has(id));
  return [
    ...(await Promise.all(strays.map((name) => stray(scope, snapshotter, join(directory, name))))).flat(),
    ...lost.map(({ id, info }) => missing(snapshotter, join(directory, id), info.name)),
  ];
}

/** `new-<id>` becomes the directory of a snapshot that has its record a moment later. */
function isUnfinished(name: string, ids: ReadonlySet<string>): boolean {
  return name.startsWith("new-") && ids.has(name.slice("new-".length));
}

/** A directory that is being made has no record yet. */
const makingMs = 10_000;

async function stray(scope: DoctorScope, { name }: LocalSnapshotter, path: string): Promise<Finding[]> {
  if ((await oldSize(path, makingMs)) === undefined) return [];
  const { session } = scope;
  return [
    {
      check: "snapshots",
      severity: "warning",
      object: path,
      problem: `snapshotter ${name} has no snapshot of that number`,
      meaning: "it takes space for nothing",
      remedy: "has the daemon remove it (the Cleanup call of the snapshotter)",
      async repair() {
        const snapshotter = session.snapshotters.get(name);
        await snapshotter.cleanup?.(session.ctx);
        return (await names(join(path, ".."))).some((left) => path.endsWith(`/${left}`)) ? "left in place" : "removed";
      },
    },
  ];
}

function missing({ name }: LocalSnapshotter, path: string, key: string): Finding {
  // <namespace>/<number>/<key>
  const [namespace = "", , ...rest] = key.split("/");
  const own = rest.join("/");
  return {
    check: "snapshots",
    severity: "error",
    object: `snapshot ${own} (${name}, namespace ${namespace})`,
    problem: `its directory ${path} is missing`,
    meaning: "containers of it cannot start, and nothing can be built on it",
    remedy: `remove what uses it (ctrd -n ${namespace} explain --type snapshot ${own}), then pull or create that again`,
  };
}

/** Databases can be read from beginning to end. */
export const databases: Check = {
  name: "databases",
  about: "the databases open, and every record of them can be read",
  lasting: true,
  obstacle: (scope) => (files(scope).length > 0 ? undefined : "containerd's cannot be read while it runs"),
  async run(scope) {
    const { inspectDatabase } = await import("@ctrd/storage");
    const findings: Finding[] = [];
    for (const path of files(scope)) {
      try {
        await inspectDatabase(path);
      } catch (error) {
        findings.push(damaged(path, messageOf(error)));
      }
    }
    return findings;
  },
};

function files({ metadata, snapshotters }: DoctorScope): string[] {
  return [metadata, ...snapshotters.map(({ database }) => database)].filter((path) => path !== undefined);
}

function damaged(path: string, problem: string): Finding {
  return {
    check: "databases",
    severity: "error",
    object: path,
    problem,
    meaning: "the daemon will not start with it once it is stopped",
    remedy: "stop the daemon, move the file away (or put a backup in its place), start it, and pull the images again",
  };
}
