/**
 * Option words of containerd mounts. Pure.
 *
 * @module
 */
import { invalidArgument, notImplemented } from "@ctrd/core/errors";
import { MountFlag as F } from "./mount-flags.ts";

/** Option words taken apart. */
export interface ParsedMountOptions {
  /** Of `MountFlag`, without propagation. */
  flags: number;
  /** Propagation to set after mounting, of `MountFlag`; 0 = leave as it is. */
  propagation: number;
  /** Words for the file system itself, in order. */
  data: string[];
}

/** Word → flags to set, flags to clear. */
const flagWords: ReadonlyMap<string, readonly [set: number, clear: number]> = new Map([
  ["async", [0, F.Synchronous]],
  ["atime", [0, F.NoAtime]],
  ["bind", [F.Bind, 0]],
  ["defaults", [0, 0]],
  ["dev", [0, F.NoDev]],
  ["diratime", [0, F.NoDirAtime]],
  ["dirsync", [F.DirSync, 0]],
  ["exec", [0, F.NoExec]],
  ["mand", [F.MandLock, 0]],
  ["noatime", [F.NoAtime, 0]],
  ["nodev", [F.NoDev, 0]],
  ["nodiratime", [F.NoDirAtime, 0]],
  ["noexec", [F.NoExec, 0]],
  ["nomand", [0, F.MandLock]],
  ["norelatime", [0, F.RelAtime]],
  ["nostrictatime", [0, F.StrictAtime]],
  ["nosuid", [F.NoSuid, 0]],
  ["nosymfollow", [F.NoSymFollow, 0]],
  ["rbind", [F.Bind | F.Rec, 0]],
  ["relatime", [F.RelAtime, 0]],
  ["remount", [F.Remount, 0]],
  ["ro", [F.RdOnly, 0]],
  ["rw", [0, F.RdOnly]],
  ["strictatime", [F.StrictAtime, 0]],
  ["suid", [0, F.NoSuid]],
  ["sync", [F.Synchronous, 0]],
]);

const propagationWords: ReadonlyMap<string, number> = new Map([
  ["private", F.Private],
  ["rprivate", F.Private | F.Rec],
  ["shared", F.Shared],
  ["rshared", F.Shared | F.Rec],
  ["slave", F.Slave],
  ["rslave", F.Slave | F.Rec],
  ["unbindable", F.Unbindable],
  ["runbindable", F.Unbindable | F.Rec],
]);

/**
 * Takes option words apart.
 *
 * @throws ContainerdError `invalid-argument` for an `X-containerd.*` word (it belongs to the mount manager) and for
 * `uidmap=` without `gidmap=` or the reverse; `not-implemented` for `loop` and for id-mapped mounts
 */
export function parseMountOptions(options: readonly string[]): ParsedMountOptions {
  const parsed: ParsedMountOptions = { flags: 0, propagation: 0, data: [] };
  let mappings = 0;
  for (const word of options) {
    const flag = flagWords.get(word);
    const propagation = propagationWords.get(word);
    if (flag !== undefined) parsed.flags = (parsed.flags | flag[0]) & ~flag[1];
    else if (propagation !== undefined) parsed.propagation |= propagation;
    else if (word === "loop") throw notImplemented(`mount option "loop": loop devices are not supported`);
    else if (word.startsWith("X-containerd.")) {
      throw invalidArgument(`mount option "${word}" must be handled by the mount manager, not by the kernel`);
    } else if (word.startsWith("uidmap=")) mappings |= 1;
    else if (word.startsWith("gidmap=")) mappings |= 2;
    else if (word !== "") parsed.data.push(word);
  }
  if (mappings === 3) throw notImplemented(`mount options "uidmap" and "gidmap": id-mapped mounts are not supported`);
  if (mappings !== 0) throw invalidArgument(`mount options "uidmap" and "gidmap" must be given together`);
  return parsed;
}
