import { readFileSync } from "node:fs";

/**
 * What this machine lacks, and what to do about it; undefined when it has all.
 *
 * @param {string} [fileSystems] content of /proc/filesystems
 * @returns {{ reason: string, remedy: string } | undefined}
 */
export function probe(fileSystems = readFileSync("/proc/filesystems", "utf8")) {
  const names = fileSystems.split("\n").map((line) => line.split("\t")[1]);
  if (names.includes("aufs")) return undefined;
  return {
    reason: "the kernel has no aufs: /proc/filesystems does not list it",
    remedy: "modprobe aufs; where there is no such module, install aufs-dkms or use the snapshotter overlayfs",
  };
}
