/** Worker module: labels a tree. Links are labelled themselves, never followed. */
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { workerData } from "node:worker_threads";
import { hasErrno, lgetxattr, lsetxattr } from "@ctrd/sys";
import type { RelabelTask } from "./relabel.ts";

const attribute = "security.selinux";

const { path, label } = workerData as RelabelTask;
// The kernel keeps labels with a zero byte at their end.
const value = Buffer.from(`${label}\0`);
const pending = [path];
for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
  if (!visit(next)) break;
}

/** Labels a file and looks what is below it. @returns whether the file system has labels */
function visit(file: string): boolean {
  try {
    if (!relabel(file)) return false;
    if (lstatSync(file).isDirectory()) pending.push(...readdirSync(file).map((name) => join(file, name)));
  } catch (error) {
    // Others may remove files of a volume at any time.
    if (!hasErrno(error, "ENOENT") || file === path) throw error;
  }
  return true;
}

/** @returns whether the file system has labels */
function relabel(file: string): boolean {
  try {
    // Most files have it already when a pod comes again; writing costs more than reading.
    if (lgetxattr(file, attribute)?.equals(value) !== true) lsetxattr(file, attribute, value);
    return true;
  } catch (error) {
    if (hasErrno(error, "EOPNOTSUPP")) return false;
    throw error;
  }
}
