/** What the kernel and the host can do. */
import { access, readFile, statfs } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "@ctrd/core/errors";
import { FileSystemMagic, kernelAtLeast } from "@ctrd/sys";

/** What the kernel and the host can do. */
export interface HostFeatures {
  /** Whether `/sys/fs/cgroup` is the unified tree. */
  readonly cgroup2: boolean;
  /** Whether memory cgroups limit swap. */
  readonly swapLimit: boolean;
  /** Whether the hugetlb cgroup is there. */
  readonly hugetlb: boolean;
  readonly seccomp: boolean;
  /** Whether profiles can be used and loaded. */
  readonly apparmor: boolean;
  readonly selinux: boolean;
  /** Whether the kernel makes mounts read-only with all below them (Linux 5.12). */
  readonly recursiveReadOnly: boolean;
  /** Whether the daemon runs in a user namespace that does not map all ids. */
  readonly userNamespace: boolean;
}

/** Names of the AppArmor profiles that the kernel has, one on a line with its mode. */
export const apparmorProfilesFile = "/sys/kernel/security/apparmor/profiles";

/** Looks at this host. */
export async function detectHostFeatures(): Promise<HostFeatures> {
  const { type } = await statfs("/sys/fs/cgroup");
  const cgroup2 = type === FileSystemMagic.cgroup2;
  const [swapLimit, hugetlb, seccomp, apparmor, selinux, idMap] = await Promise.all([
    hasSwapLimit(cgroup2),
    hasHugetlb(cgroup2),
    // There since Linux 4.14, with CONFIG_SECCOMP_FILTER.
    exists("/proc/sys/kernel/seccomp/actions_avail"),
    hasApparmor(),
    exists("/sys/fs/selinux/enforce"),
    readText("/proc/self/uid_map"),
  ]);
  const recursiveReadOnly = kernelAtLeast(5, 12);
  const userNamespace = !/^\s*0\s+0\s+4294967295\s*$/.test(idMap);
  return { cgroup2, swapLimit, hugetlb, seccomp, apparmor, selinux, recursiveReadOnly, userNamespace };
}

async function hasSwapLimit(cgroup2: boolean): Promise<boolean> {
  if (!cgroup2) return exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes");
  // The root cgroup has no limits: only one below it shows whether they exist.
  const own = /^0::(.*)$/m.exec(await readText("/proc/self/cgroup"))?.[1] ?? "/";
  return exists(join("/sys/fs/cgroup", own, "memory.swap.max"));
}

async function hasHugetlb(cgroup2: boolean): Promise<boolean> {
  if (!cgroup2) return exists("/sys/fs/cgroup/hugetlb");
  return (await readText("/sys/fs/cgroup/cgroup.controllers")).split(/\s+/).includes("hugetlb");
}

/** Not inside a container (of which `container` in the environment tells): profiles are the host's. */
async function hasApparmor(): Promise<boolean> {
  if ((process.env["container"] ?? "") !== "") return false;
  if (!(await exists("/sys/kernel/security/apparmor")) || !(await exists("/sbin/apparmor_parser"))) return false;
  return (await readText("/sys/module/apparmor/parameters/enabled")).startsWith("Y");
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** The text of a file of the kernel; "" where there is none. */
async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return "";
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR";
}
