/**
 * `/etc/passwd` and `/etc/group` of a container's root filesystem. Both are written by the author of the image.
 *
 * - Links are resolved inside the root filesystem; nothing outside it is opened, and nothing that is not a regular file.
 * - They are read line by line with limits on file and line (CVE-2026-47262).
 * - Ids are checked, never cut to 32 bits (CVE-2024-40635). An entry with a bad id is an error when it is the one asked
 *   for; it is never taken as 0.
 *
 * @module
 */
import { closeSync, constants, fstatSync } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";
import { errnoOf, invalidArgument, resourceExhausted } from "@ctrd/core/errors";
import { AT_FDCWD, openat, openat2, OpenFlag, ResolveFlag } from "@ctrd/sys";

/** Largest id that runc takes. */
const maxId = 0x7fff_ffff;
const maxFileBytes = 16 << 20;
const maxLineBytes = 1 << 20;

/** An entry of `/etc/passwd`. */
export interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** An id in decimal, or undefined when it is none of 0 … 2^31-1. */
export function parseId(text: string): number | undefined {
  if (!/^\d{1,20}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= maxId ? id : undefined;
}

/** The first entry of `/etc/passwd` with this name or uid. */
export async function findPasswd(root: string, wanted: string | number): Promise<PasswdEntry | undefined> {
  for await (const [name = "", , uidText = "", gidText = ""] of entries(root, "etc/passwd")) {
    if (typeof wanted === "number" ? parseId(uidText) !== wanted : name !== wanted) continue;
    return { name, uid: requireId("etc/passwd", name, uidText), gid: requireId("etc/passwd", name, gidText) };
  }
  return undefined;
}

/** The gid of the first entry of `/etc/group` with this name. */
export async function findGroup(root: string, wanted: string): Promise<number | undefined> {
  for await (const [name = "", , gidText = ""] of entries(root, "etc/group")) {
    if (name === wanted) return requireId("etc/group", name, gidText);
  }
  return undefined;
}

/** The gids of the groups that list `user` as a member. */
export async function groupsWithMember(root: string, user: string): Promise<number[]> {
  const found = new Set<number>();
  for await (const [name = "", , gidText = "", members = ""] of entries(root, "etc/group")) {
    // Splitting the list would cost memory for each of its names.
    if (name === user || !`,${members},`.includes(`,${user},`)) continue;
    found.add(requireId("etc/group", name, gidText));
    if (found.size > 65_536) {
      throw resourceExhausted(`etc/group: user "${user}" is in more groups than Linux allows (65536)`);
    }
  }
  return [...found];
}

function requireId(file: string, name: string, text: string): number {
  const id = parseId(text);
  if (id !== undefined) return id;
  throw invalidArgument(`${file} of the image: the id ${JSON.stringify(text)} of "${name}" is not in 0 … ${maxId}`);
}

/** The fields of each line. A file that is not there has no lines. */
async function* entries(root: string, path: string): AsyncGenerator<string[]> {
  const handle = await openInside(root, path);
  if (handle === undefined) return;
  try {
    for await (const line of lines(handle, path)) {
      const entry = line.trim();
      // "+" and "-" are entries of NIS, which is no part of an image.
      if (entry !== "" && !/^[#+-]/.test(entry)) yield entry.split(":", 5);
    }
  } finally {
    await handle.close();
  }
}

/** Opens a regular file below `root`, whose links cannot lead out of it. */
async function openInside(root: string, path: string): Promise<FileHandle | undefined> {
  const directory = openat(AT_FDCWD, root, OpenFlag.Path | OpenFlag.Directory);
  try {
    const inRoot = ResolveFlag.InRoot | ResolveFlag.NoMagiclinks;
    // Path only: opening a device or a FIFO that the image put there has effects, or never ends.
    const place = openat2(directory, path, OpenFlag.Path, 0, inRoot);
    try {
      const status = fstatSync(place);
      if (!status.isFile()) throw invalidArgument(`${path} of the image is not a regular file`);
      if (status.size > maxFileBytes) throw tooLong(path, `it has ${status.size} bytes`, maxFileBytes);
      return await open(`/proc/self/fd/${place}`, constants.O_RDONLY);
    } finally {
      closeSync(place);
    }
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    if (errnoOf(error) === "ELOOP")
      throw invalidArgument(`${path} of the image: its links lead nowhere`, { cause: error });
    throw error;
  } finally {
    closeSync(directory);
  }
}

async function* lines(handle: FileHandle, path: string): AsyncGenerator<string> {
  const buffer = Buffer.allocUnsafe(64 << 10);
  let [rest, total]: [Buffer, number] = [Buffer.alloc(0), 0];
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, null);
    if (bytesRead === 0) break;
    total += bytesRead;
    if (total > maxFileBytes) throw tooLong(path, "it goes on", maxFileBytes);
    const text = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
    let start = 0;
    for (let end = text.indexOf(10); end !== -1; end = text.indexOf(10, start)) {
      yield text.toString("utf8", start, end);
      start = end + 1;
    }
    rest = text.subarray(start);
    if (rest.length > maxLineBytes) throw tooLong(path, "a line goes on", maxLineBytes);
  }
  if (rest.length > 0) yield rest.toString();
}

function tooLong(path: string, what: string, limit: number): Error {
  return resourceExhausted(`${path} of the image: ${what}, the limit is ${limit} bytes (give the user by number)`);
}
