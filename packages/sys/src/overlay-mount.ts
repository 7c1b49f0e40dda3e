/**
 * Overlay mounts whose options do not fit in one page.
 *
 * @module
 */
import { invalidArgument } from "@ctrd/core/errors";
import { AT_FDCWD, close, openat } from "./at.ts";
import { hasErrno } from "./errno.ts";
import { mount } from "./mount.ts";
import { MountFlag } from "./mount-flags.ts";
import { check, systemCall } from "./native.ts";
import { OpenFlag } from "./open-flags.ts";

const nativeFsopen = systemCall("fsopen", ["const char *", "uint"]);
const nativeFsconfig = systemCall("fsconfig", ["int", "uint", "const char *", "const char *", "int"]);
const nativeFsmount = systemCall("fsmount", ["int", "uint", "uint"]);
const nativeMoveMount = systemCall("move_mount", ["int", "const char *", "int", "const char *", "uint"]);

const fsopenCloexec = 1;
const fsmountCloexec = 1;
const setFlag = 0;
const setString = 1;
const createCommand = 6;
const moveFromEmptyPath = 4;
/** The kernel copies at most 255 bytes of one value. */
const longestValue = 255;
const pageSize = 4096;

/**
 * Mounts an overlay with any number of lower directories: one by one where the kernel can (`lowerdir+`, 6.8), else
 * through a short name of their common directory.
 */
export function mountLongOverlay(source: string, target: string, flags: number, options: readonly string[]): void {
  try {
    mountByParts(source, target, flags, options);
  } catch (error) {
    if (!hasErrno(error, "EINVAL", "ENOSYS", "EOPNOTSUPP")) throw error;
    mountShortened(source, target, flags, options);
  }
}

function mountByParts(source: string, target: string, flags: number, options: readonly string[]): void {
  const held: number[] = [];
  const hold = (fd: number): number => {
    held.push(fd);
    return fd;
  };
  try {
    const context = hold(check(nativeFsopen("overlay", fsopenCloexec), "fsopen"));
    const set = (command: number, key: string | null, value: string | null): void => {
      check(nativeFsconfig(context, command, key, value, 0), `fsconfig ${key ?? "create"}`, value);
    };
    set(setString, "source", source);
    if ((flags & MountFlag.RdOnly) !== 0) set(setFlag, "ro", null);
    for (const [key, value] of optionPairs(options)) {
      if (value === undefined) set(setFlag, key, null);
      else set(setString, key, shortPath(value, hold));
    }
    set(createCommand, null, null);
    const fd = hold(check(nativeFsmount(context, fsmountCloexec, mountAttributes(flags)), "fsmount", target));
    check(nativeMoveMount(fd, "", AT_FDCWD, target, moveFromEmptyPath), "move_mount", target);
  } finally {
    for (const fd of held) close(fd);
  }
}

/** Options one by one; `lowerdir` becomes one `lowerdir+` for each directory. */
function optionPairs(options: readonly string[]): [key: string, value: string | undefined][] {
  return options.flatMap((word): [string, string | undefined][] => {
    const equals = word.indexOf("=");
    if (equals < 0) return [[word, undefined]];
    const key = word.slice(0, equals);
    const value = word.slice(equals + 1);
    return key === "lowerdir" ? splitLowers(value).map((lower) => ["lowerdir+", lower]) : [[key, value]];
  });
}

/** Splits at colons that no backslash precedes, and removes the backslashes: `lowerdir+` takes plain paths. */
function splitLowers(value: string): string[] {
  const lowers = value.match(/(?:\\.|[^:\\])+/gs) ?? [];
  return lowers.map((lower) => lower.replace(/\\(.)/gs, "$1"));
}

function shortPath(value: string, hold: (fd: number) => number): string {
  if (Buffer.byteLength(value) <= longestValue || !value.startsWith("/")) return value;
  return `/proc/thread-self/fd/${hold(openat(AT_FDCWD, value, OpenFlag.Path))}`;
}

/** The `MOUNT_ATTR_` flags of a mount's own flags; the first four have the same values. */
function mountAttributes(flags: number): number {
  let attributes = flags & (MountFlag.RdOnly | MountFlag.NoSuid | MountFlag.NoDev | MountFlag.NoExec);
  if ((flags & MountFlag.NoAtime) !== 0) attributes |= 0x10;
  if ((flags & MountFlag.StrictAtime) !== 0) attributes |= 0x20;
  if ((flags & MountFlag.NoDirAtime) !== 0) attributes |= 0x80;
  if ((flags & MountFlag.NoSymFollow) !== 0) attributes |= 0x200000;
  return attributes;
}

function mountShortened(source: string, target: string, flags: number, options: readonly string[]): void {
  const lowers =
    options
      .find((word) => word.startsWith("lowerdir="))
      ?.slice("lowerdir=".length)
      .split(":") ?? [];
  const directory = commonDirectory(lowers);
  const fd = openat(AT_FDCWD, directory, OpenFlag.Path | OpenFlag.Directory);
  try {
    const short = lowers.map((lower) => `/proc/thread-self/fd/${fd}${lower.slice(directory.length)}`).join(":");
    const data = options.map((word) => (word.startsWith("lowerdir=") ? `lowerdir=${short}` : word)).join(",");
    if (Buffer.byteLength(data) >= pageSize) {
      throw invalidArgument(`mount overlay "${target}": options of ${lowers.length} lower directories exceed a page`);
    }
    mount(source, target, "overlay", flags, data);
  } finally {
    close(fd);
  }
}

/** The longest directory that all of `paths` are in, without an ending slash. */
export function commonDirectory(paths: readonly string[]): string {
  const [first = "", ...others] = paths.map((path) => path.split("/").slice(0, -1));
  let length = first.length;
  for (const other of others) {
    let same = 0;
    while (same < length && other[same] === first[same]) same++;
    length = same;
  }
  return Array.from(first).slice(0, length).join("/");
}
