/**
 * FIFOs between us and a shim, laid out as containerd's own client does.
 *
 * @module
 */
import { errnoOf } from "@ctrd/core/errors";
import { checkIdentifier } from "@ctrd/core/identifiers";
import type { TaskStdio } from "@ctrd/core/tasks";
import { mkfifo } from "@ctrd/sys";
import { constants, closeSync, openSync } from "node:fs";
import { mkdir, mkdtemp, rm, rmdir, stat, unlink } from "node:fs/promises";
import { Socket } from "node:net";
import { dirname, join } from "node:path";

/** Where containerd's clients make their FIFOs. */
export const defaultFifoDirectory = "/run/containerd/fifo";

/** FIFOs of one process, in a directory of their own. */
export interface FifoSet {
  readonly stdio: TaskStdio;
  remove(): Promise<void>;
}

/** Which FIFOs a process needs. */
export interface FifoNeeds {
  readonly stdin: boolean;
  readonly terminal: boolean;
}

/** Makes FIFOs in a new directory below `base`. A terminal has no stderr. */
export async function makeFifos(base: string, id: string, { stdin, terminal }: FifoNeeds): Promise<FifoSet> {
  checkIdentifier("process", id);
  await mkdir(base, { recursive: true, mode: 0o700 });
  const directory = await mkdtemp(join(base, "f"));
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true });
  const make = (name: string): string => {
    const path = join(directory, `${id}-${name}`);
    mkfifo(path, 0o700);
    return path;
  };
  try {
    const stdio: TaskStdio = {
      stdin: stdin ? make("stdin") : "",
      stdout: make("stdout"),
      stderr: terminal ? "" : make("stderr"),
      terminal,
    };
    return { stdio, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** The FIFOs that a process was made with. Removing them leaves what else is in their directory. */
export async function findFifos(stdio: TaskStdio): Promise<FifoSet> {
  const paths: string[] = [];
  for (const path of [stdio.stdin, stdio.stdout, stdio.stderr]) if (await isFifo(path)) paths.push(path);
  const known = (path: string): string => (paths.includes(path) ? path : "");
  return {
    stdio: {
      stdin: known(stdio.stdin),
      stdout: known(stdio.stdout),
      stderr: known(stdio.stderr),
      terminal: stdio.terminal,
    },
    async remove() {
      for (const path of paths) await ignoring(["ENOENT"], unlink(path));
      for (const directory of new Set(paths.map(dirname))) {
        await ignoring(["ENOENT", "ENOTEMPTY"], rmdir(directory));
      }
    },
  };
}

async function isFifo(path: string): Promise<boolean> {
  if (!path.startsWith("/")) return false;
  try {
    return (await stat(path)).isFIFO();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}

async function ignoring(errnos: readonly string[], removal: Promise<void>): Promise<void> {
  try {
    await removal;
  } catch (error) {
    if (!errnos.includes(errnoOf(error) ?? "")) throw error;
  }
}

/** Opens a FIFO to read. It has no end before a writer has come and gone, however long that takes. */
export function openOutput(path: string): Socket {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return new Socket({ fd, readable: true, writable: false });
}

/**
 * Opens a FIFO to write. It is opened for reading too, so that it can be written before the shim has come, and so that
 * a shim that has gone is no broken pipe: the end of the process tells.
 */
export function openInput(path: string): Socket {
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  return new Socket({ fd, readable: false, writable: true });
}

/** Lets the reader of a FIFO see an end, unless somebody else has it open to write. */
export function endWithoutWriter(path: string): void {
  try {
    closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
  } catch (error) {
    // Nobody reads it any more, or it is gone.
    if (!["ENXIO", "ENOENT"].includes(errnoOf(error) ?? "")) throw error;
  }
}
