import { release } from "node:os";

/** Version of the running kernel. */
export interface KernelVersion {
  major: number;
  minor: number;
  patch: number;
}

/** Version of the running kernel. */
export function kernelVersion(): KernelVersion {
  return parseKernelVersion(release());
}

/** Parses what `uname -r` prints; parts that are not there are 0. */
export function parseKernelVersion(text: string): KernelVersion {
  const [major = 0, minor = 0, patch = 0] = (/^\d+(\.\d+){0,2}/.exec(text)?.[0] ?? "").split(".").map(Number);
  return { major, minor, patch };
}

/** Whether the running kernel is `major.minor` or newer. */
export function kernelAtLeast(major: number, minor: number): boolean {
  const version = kernelVersion();
  return version.major > major || (version.major === major && version.minor >= minor);
}
