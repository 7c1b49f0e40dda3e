/**
 * Checks of what the kernel keeps: mounts and cgroups.
 *
 * @module
 */
import { rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errnoOf } from "@ctrd/core/errors";
import { readSnapshotRecords } from "@ctrd/storage";
import { readMountInfo, unmount, UnmountFlag } from "@ctrd/sys";
import { listBundles } from "./bundles.ts";
import { names, oldSize, textOf } from "./files.ts";
import type { Check, Finding } from "./finding.ts";
import { exists, shimsOf } from "./processes.ts";
import type { DoctorScope } from "./scope.ts";
import { allTasks } from "./tasks.ts";

/** A temporary mount of a diff or an unpack does not take that long. */
const temporaryMs = 3600 * 1000;

/** Mounts that belong to nothing any more. */
export const mounts: Check = {
  name: "mounts",
  about: "each overlay mount of a snapshot belongs to a bundle or to work under way",
  async run(scope) {
    const all = readMountInfo().filter(({ mountPoint, superOptions }) => concerns(scope, mountPoint, superOptions));
    const known = new Set((await listBundles(scope)).map(({ path }) => join(path, "rootfs")));
    const ids = await snapshotDirectories(scope);
    const findings: Finding[] = [];
    for (const { mountPoint, superOptions } of all) {
      const upper = optionOf(superOptions, "upperdir");
      const gone = upper !== undefined && isBelowAny(scope, upper) && !ids.has(dirname(upper));
      if (gone) {
        findings.push(strayMount(mountPoint, `its snapshot ${dirname(upper)} was removed`));
      } else if (isBelow(scope.bundles, mountPoint) && !coveredBy(known, mountPoint)) {
        findings.push(strayMount(mountPoint, "it has no bundle"));
      } else if (isTemporary(scope, mountPoint) && (await oldSize(mountPoint, temporaryMs)) !== undefined) {
        findings.push(strayMount(mountPoint, "it was made for work that has ended"));
      }
    }
    return findings;
  },
};

function concerns(scope: DoctorScope, mountPoint: string, superOptions: readonly string[]): boolean {
  if (isBelow(scope.state, mountPoint) || isBelow(scope.root, mountPoint)) return true;
  const upper = optionOf(superOptions, "upperdir");
  return upper !== undefined && isBelowAny(scope, upper);
}

function isTemporary({ root, state, bundles }: DoctorScope, mountPoint: string): boolean {
  if (isBelow(bundles, mountPoint)) return false;
  return (
    isBelow(join(state, "io.containerd.differ.v1.walking"), mountPoint) || isBelow(join(root, "tmpmounts"), mountPoint)
  );
}

function optionOf(options: readonly string[], name: string): string | undefined {
  return options.find((option) => option.startsWith(`${name}=`))?.slice(name.length + 1);
}

function isBelow(directory: string, path: string): boolean {
  return path.startsWith(`${directory}/`);
}

function coveredBy(roots: ReadonlySet<string>, mountPoint: string): boolean {
  return [...roots].some((root) => mountPoint === root || isBelow(root, mountPoint));
}

function isBelowAny({ snapshotters }: DoctorScope, path: string): boolean {
  return snapshotters.some(({ root, database }) => database !== undefined && isBelow(join(root, "snapshots"), path));
}

async function snapshotDirectories({ snapshotters }: DoctorScope): Promise<Set<string>> {
  const paths = new Set<string>();
  for (const { root, database } of snapshotters) {
    if (database === undefined) continue;
    for (const { id } of await readSnapshotRecords(database)) paths.add(join(root, "snapshots", id));
  }
  return paths;
}

function strayMount(mountPoint: string, problem: string): Finding {
  return {
    check: "mounts",
    severity: "warning",
    object: mountPoint,
    problem,
    meaning: "it keeps the files of removed snapshots on the disk",
    remedy: "unmounts it, lazily where it is in use",
    async repair() {
      unmount(mountPoint, UnmountFlag.Detach);
      return "unmounted";
    },
  };
}

const cgroupRoot = "/sys/fs/cgroup";
/** Where runc keeps what runs, whichever daemon started it. */
const runcRoot = "/run/containerd/runc";

/** Cgroups without a container. */
export const cgroups: Check = {
  name: "cgroups",
  about: "each cgroup of a namespace of this daemon has a task",
  async run(scope) {
    const namespaces = [...(await scope.namespaces()).keys()];
    const found: { path: string; namespace: string; id: string }[] = [];
    for (const root of await hierarchies()) {
      for (const namespace of namespaces) {
        for (const id of await names(join(root, namespace))) {
          const path = join(root, namespace, id);
          if ((await textOf(join(path, "cgroup.procs"))) === "") found.push({ path, namespace, id });
        }
      }
    }
    const owned = new Set([...(await allTasks(scope)), ...(await shimsOf(scope.socket))].map(ownerOf));
    const findings: Finding[] = [];
    for (const { path, namespace, id } of found) {
      // Another daemon may have a namespace of the same name: what runc knows runs somewhere.
      if (owned.has(ownerOf({ namespace, id })) || (await exists(join(runcRoot, namespace, id)))) continue;
      findings.push(strayCgroup(path));
    }
    return findings;
  },
};

const ownerOf = ({ namespace, id }: { namespace: string; id: string }): string => `${namespace}/${id}`;

/** The unified hierarchy, or each controller's own. */
async function hierarchies(): Promise<string[]> {
  if (await exists(join(cgroupRoot, "cgroup.controllers"))) return [cgroupRoot];
  return (await names(cgroupRoot)).map((controller) => join(cgroupRoot, controller));
}

function strayCgroup(path: string): Finding {
  return {
    check: "cgroups",
    severity: "warning",
    object: path,
    problem: "it has no process, and no container has it",
    meaning: "limits that were set in it may meet a new container of that name",
    remedy: "removes the cgroup",
    async repair() {
      try {
        await rmdir(path);
      } catch (error) {
        if (errnoOf(error) !== "ENOENT") throw error;
      }
      return "removed";
    },
  };
}
