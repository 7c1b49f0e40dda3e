import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/**
 * What this machine lacks, and what to do about it; undefined when it has all.
 *
 * @returns {{ reason: string, remedy: string } | undefined}
 */
export function probe() {
  for (const program of ["fuse-overlayfs", "mount.fuse3"]) {
    if (findProgram(program)) continue;
    const name = program === "mount.fuse3" ? "fuse3" : program;
    return { reason: `the program ${program} is not in PATH`, remedy: `install it: apt-get install ${name}` };
  }
  if (!isUsable("/dev/fuse", constants.R_OK | constants.W_OK)) {
    return { reason: "/dev/fuse cannot be opened", remedy: "modprobe fuse, or give the daemon's container the device" };
  }
  return undefined;
}

/** @param {string} name */
function findProgram(name) {
  const directories = (process.env["PATH"] ?? "").split(delimiter);
  return directories.some((directory) => isUsable(join(directory, name), constants.X_OK));
}

/**
 * @param {string} path
 * @param {number} mode
 */
function isUsable(path, mode) {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}
