/** What the kernel and the host can do. */
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { FileSystemMagic, kernelAtLeast } from "@ctrd/sys";
import { isThere, readIfThere } from "./present-files.ts";

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
    isThere("/proc/sys/kernel/seccomp/actions_avail"),
    hasApparmor(),
    isThere("/sys/fs/selinux/enforce"),
    readIfThere("/proc/self/uid_map"),
  ]);
  const recursiveReadOnly = kernelAtLeast(5, 12);
  const userNamespace = !/^\s*0\s+0\s+4294967295\s*$/.test(idMap);
  return { cgroup2, swapLimit, hugetlb, seccomp, apparmor, selinux, recursiveReadOnly, userNamespace };
}

async function hasSwapLimit(cgroup2: boolean): Promise<boolean> {
  if (!cgroup2) return isThere("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes");
  // The root cgroup has no limits: only one below it shows whether they exist.
  const own = /^0::(.*)$/m.exec(await readIfThere("/proc/self/cgroup"))?.[1] ?? "/";
  return isThere(join("/sys/fs/cgroup", own, "memory.swap.max"));
}

async function hasHugetlb(cgroup2: boolean): Promise<boolean> {
  if (!cgroup2) return isThere("/sys/fs/cgroup/hugetlb");
  return (await readIfThere("/sys/fs/cgroup/cgroup.controllers")).split(/\s+/).includes("hugetlb");
}

/** Not inside a container (of which `container` in the environment tells): profiles are the host's. */
async function hasApparmor(): Promise<boolean> {
  if ((process.env["container"] ?? "") !== "") return false;
  if (!(await isThere("/sys/kernel/security/apparmor")) || !(await isThere("/sbin/apparmor_parser"))) return false;
  return (await readIfThere("/sys/module/apparmor/parameters/enabled")).startsWith("Y");
}
