/**
 * Comparing directory trees, and a few changes that tests make in them.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import type { Stats } from "node:fs";
import { dirname } from "node:path";
import { lgetxattr, llistxattr } from "@ctrd/sys";

/** What {@link describeTree} says. */
export interface TreeOptions {
  /** Modification times are part of the description. */
  times?: boolean;
  /** False: how many names a file has is not, only which are the same file. */
  linkCounts?: boolean;
}

/**
 * One line for each path of a tree: kind, mode, owner, content, link target, device, attributes, and for files with
 * several names the first of them. Two trees that users cannot tell apart have the same lines. Names that are not
 * UTF-8 are written in Latin-1.
 */
export function describeTree(root: string, options: TreeOptions = {}): string[] {
  const lines: string[] = [];
  const firstNames = new Map<number, string>();
  const visit = (path: Buffer, name: string): void => {
    const stat = lstatSync(path);
    const time = options.times === true ? ` ${stat.mtimeMs}` : "";
    const linked = linkedTo(stat, name, firstNames, options.linkCounts ?? true);
    lines.push(`${name} ${describeInode(path, stat)}${linked}${time}`);
    if (!stat.isDirectory()) return;
    const entries = readdirSync(path, { encoding: "buffer" }).sort((a, b) => Buffer.compare(a, b));
    for (const entry of entries) visit(Buffer.concat([path, slash, entry]), `${name}/${entry.toString("latin1")}`);
  };
  visit(Buffer.from(root), "");
  return lines;
}

const slash = Buffer.from("/");

function linkedTo(stat: Stats, name: string, firstNames: Map<number, string>, counts: boolean): string {
  if (stat.isDirectory() || (counts && stat.nlink < 2)) return "";
  const first = firstNames.get(stat.ino);
  if (first === undefined) firstNames.set(stat.ino, name);
  if (!counts) return first === undefined ? "" : ` first=${first}`;
  return ` nlink=${stat.nlink} first=${first ?? name}`;
}

function describeInode(path: Buffer, stat: Stats): string {
  const owner = `${(stat.mode & 0o7777).toString(8)} ${stat.uid}:${stat.gid}`;
  return `${describeContent(path, stat)} ${owner}${describeAttributes(path)}`;
}

function describeContent(path: Buffer, stat: Stats): string {
  if (stat.isDirectory()) return "dir";
  if (stat.isSymbolicLink()) return `link->${readlinkSync(path, { encoding: "latin1" })}`;
  if (stat.isFile()) return `file ${stat.size} ${createHash("sha256").update(readFileSync(path)).digest("hex")}`;
  if (stat.isFIFO()) return "fifo";
  if (stat.isSocket()) return "socket";
  return `${stat.isBlockDevice() ? "block" : "char"} ${stat.rdev}`;
}

/** Attributes that belong to the file; those of the overlay itself and of SELinux do not. */
function describeAttributes(path: Buffer): string {
  return llistxattr(path)
    .filter((name) => !/^(trusted|user)\.overlay\.|^security\.selinux$/.test(name))
    .sort()
    .map((name) => ` ${name}=${lgetxattr(path, name)?.toString("hex") ?? ""}`)
    .join("");
}

/** Writes a file and the directories above it; an existing one is overwritten in place. */
export function write(path: string, content: string | Uint8Array, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(path, content, { mode });
}

/** Makes a directory with exactly this mode. */
export function makeDir(path: string, mode = 0o755): void {
  mkdirSync(path, { recursive: true, mode });
}

/** Removes a tree. */
export function remove(path: string): void {
  rmSync(path, { recursive: true });
}

/** Moves with `mv`, which copies where the kernel refuses: an overlay renames no directory of a lower layer. */
export function move(from: string, to: string): void {
  execFileSync("mv", ["-T", from, to]);
}

/** Number of files and directories below `directory`. */
export function countEntries(directory: string): number {
  return readdirSync(directory, { recursive: true }).length;
}
