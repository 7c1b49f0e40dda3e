/**
 * Shims and containers as the kernel knows them.
 *
 * @module
 */
import { realpathSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename } from "node:path";
import { errnoOf } from "@ctrd/core/errors";

/** A shim that runs. */
export interface ShimProcess {
  readonly pid: number;
  readonly namespace: string;
  /** Of the container that it was started for; it may serve others as well. */
  readonly id: string;
}

/** The shims that were started by the daemon on `socket`. */
export async function shimsOf(socket: string): Promise<ShimProcess[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const shims = await Promise.all(pids.map((pid) => shimOf(Number(pid), socket)));
  return shims.filter((shim) => shim !== undefined);
}

async function shimOf(pid: number, socket: string): Promise<ShimProcess | undefined> {
  const words = (await procText(pid, "cmdline")).split("\0");
  if (!basename(words[0] ?? "").startsWith("containerd-shim")) return undefined;
  const flag = (name: string): string => words[words.indexOf(`-${name}`) + 1] ?? "";
  if (!words.includes("-id") || !isSame(flag("address"), socket)) return undefined;
  // A shim's `start` and `delete` have the same flags, and are over soon.
  if (words.at(-1) === "" ? ["start", "delete"].includes(words.at(-2) ?? "") : false) return undefined;
  return { pid, namespace: flag("namespace"), id: flag("id") };
}

function isSame(address: string, socket: string): boolean {
  if (address === socket) return true;
  try {
    return realpathSync(address.replace(/^unix:\/\//, "")) === socket;
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EACCES"].includes(errnoOf(error) ?? "")) return false;
    throw error;
  }
}

async function procText(pid: number, file: string): Promise<string> {
  try {
    return await readFile(`/proc/${pid}/${file}`, "utf8");
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes(errnoOf(error) ?? "")) return "";
    throw error;
  }
}

/** Whether a process is there and no zombie. */
export async function isAlive(pid: number): Promise<boolean> {
  const text = await procText(pid, "stat");
  return text !== "" && !text.slice(text.lastIndexOf(")") + 2).startsWith("Z");
}

/** Whether a path is there. */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) return false;
    throw error;
  }
}

/** The command line of a process of this machine; empty when it is gone. */
export async function commandOf(pid: number): Promise<string> {
  return (await procText(pid, "cmdline")).replaceAll("\0", " ").trim();
}
