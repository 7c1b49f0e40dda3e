/**
 * Starting programs without a copy of this process. `fork`, which Node uses, copies the page tables and makes every page
 * of the daemon fault again on its next write: several milliseconds for a process of 150 MB. `posix_spawn` shares the
 * memory until the program runs.
 *
 * @module
 */
import { isMainThread } from "node:worker_threads";
import { SysError } from "./errno.ts";
import { closeOnExecFrom } from "./files.ts";
import { check, cPath, native } from "./native.ts";

/** A program to start. */
export interface SpawnOptions {
  /** Path of the program, or a name that is looked for in this process's `PATH`. */
  readonly path: string;
  /** Arguments, without the program's name. */
  readonly args: readonly string[];
  /** Its whole environment; this process's when absent. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Its working directory; this process's when absent. */
  readonly cwd?: string;
  /** Descriptors of this process that become its 0, 1 and 2; all above 2. It gets no others. */
  readonly stdio: readonly [number, number, number];
}

/** How a program ended: an exit code, or the number of a signal. */
export type SpawnedEnd = { readonly code: number } | { readonly signal: number };

/** Larger than the C libraries' types, whose sizes differ. */
const attributesSize = 1024;
const actionsSize = 512;
const signalSetSize = 128;
const resetSignals = 0x04;
const setSignalMask = 0x08;
const newSession = 0x80;

const attributesInit = native("posix_spawnattr_init", "int", ["void *"]);
const attributesDestroy = native("posix_spawnattr_destroy", "int", ["void *"]);
const attributesFlags = native("posix_spawnattr_setflags", "int", ["void *", "short"]);
const attributesDefault = native("posix_spawnattr_setsigdefault", "int", ["void *", "void *"]);
const attributesMask = native("posix_spawnattr_setsigmask", "int", ["void *", "void *"]);
const actionsInit = native("posix_spawn_file_actions_init", "int", ["void *"]);
const actionsDestroy = native("posix_spawn_file_actions_destroy", "int", ["void *"]);
const actionsDup = native("posix_spawn_file_actions_adddup2", "int", ["void *", "int", "int"]);
const actionsDirectory = native("posix_spawn_file_actions_addchdir_np", "int", ["void *", "const char *"]);
const spawnProgram = native("posix_spawnp", "int", [
  "void *",
  "const char *",
  "void *",
  "void *",
  "const char **",
  "const char **",
]);
const waitForProcess = native("waitpid", "int", ["int", "void *", "int"]);
const nativePipe = native("pipe2", "int", ["void *", "int"]);

/** A pipe, close-on-exec: its reading end, its writing end. @throws SysError `EMFILE`, `ENFILE` */
export function pipe(): [read: number, write: number] {
  const O_CLOEXEC = 0o2000000;
  const ends = new Int32Array(2);
  check(nativePipe(new Uint8Array(ends.buffer), O_CLOEXEC), "pipe2");
  const [read = -1, write = -1] = ends;
  return [read, write];
}

/**
 * Starts a program in a session and process group of its own, with the default action for every signal. It must be
 * waited for with {@link exitOf}.
 *
 * @returns its process id
 * @throws SysError when it cannot be started: `ENOENT` (also for `cwd`), `EACCES`, `ENOEXEC`, `EAGAIN` …
 */
export function spawnGroup(options: SpawnOptions): number {
  // The daemon may itself have inherited descriptors, and native code opens more.
  closeOnExecFrom(3);
  const path = cPath(options.path, "posix_spawn") as string;
  const texts = [path, ...options.args].map((text) => cPath(text, "posix_spawn") as string);
  const environment = Object.entries(options.env ?? process.env).flatMap(([name, value]) =>
    value === undefined ? [] : [cPath(`${name}=${value}`, "posix_spawn") as string],
  );
  const attributes = new Uint8Array(attributesSize);
  const actions = new Uint8Array(actionsSize);
  succeed(attributesInit(attributes), path);
  succeed(actionsInit(actions), path);
  try {
    succeed(attributesFlags(attributes, resetSignals | setSignalMask | newSession), path);
    succeed(attributesDefault(attributes, new Uint8Array(signalSetSize).fill(0xff)), path);
    succeed(attributesMask(attributes, new Uint8Array(signalSetSize)), path);
    for (const [target, fd] of options.stdio.entries()) succeed(actionsDup(actions, fd, target), path);
    if (options.cwd !== undefined) succeed(actionsDirectory(actions, cPath(options.cwd, "posix_spawn")), path);
    const pid = Buffer.alloc(4);
    const result = spawnProgram(pid, path, actions, attributes, [...texts, null], [...environment, null]);
    succeed(result, path);
    return pid.readInt32LE();
  } finally {
    actionsDestroy(actions);
    attributesDestroy(attributes);
  }
}

/** posix_spawn's functions return the errno. */
function succeed(errno: number, path: string): void {
  if (errno !== 0) throw new SysError(errno, "posix_spawn", path);
}

/** Programs whose end is awaited. */
const awaited = new Map<number, (end: SpawnedEnd) => void>();
/** How often ends are looked for where no signal tells of them, and for signals that came together. */
const lookMs = isMainThread ? 200 : 5;
let timer: NodeJS.Timeout | undefined;
let listening = false;

/**
 * Waits for the end of a program of {@link spawnGroup}, once. Until the promise settles its process id cannot be given to
 * another process.
 */
export function exitOf(pid: number): Promise<SpawnedEnd> {
  // Signals reach the main thread only.
  if (!listening && isMainThread) process.on("SIGCHLD", collectEnded);
  listening = true;
  timer ??= setInterval(collectEnded, lookMs);
  const { promise, resolve } = Promise.withResolvers<SpawnedEnd>();
  awaited.set(pid, resolve);
  return promise;
}

function collectEnded(): void {
  const WNOHANG = 1;
  const memory = Buffer.alloc(4);
  for (const [pid, ended] of awaited) {
    if (check(waitForProcess(pid, memory, WNOHANG), `waitpid ${pid}`) !== pid) continue;
    awaited.delete(pid);
    const status = memory.readInt32LE();
    const signal = status & 0x7f;
    ended(signal === 0 ? { code: (status >> 8) & 0xff } : { signal });
  }
  if (awaited.size > 0) return;
  clearInterval(timer);
  timer = undefined;
}
