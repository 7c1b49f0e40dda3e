/**
 * The logging program of detached containers. A shim starts it (`binary://`) with stdout as descriptor 3, stderr as 4,
 * and 5 to be closed when it is ready; a client that goes away starts it on the FIFOs that it leaves behind.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { closeSync, constants, openSync, readFileSync, writeFileSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import type { DriverOptions } from "./logs/driver-options.ts";
import { clearPid, readBundlePid, readDriverOptions, readPid } from "./logs/driver-options.ts";
import { LogWriter } from "./logs/log-writer.ts";

const [stdoutFd, stderrFd, readyFd] = [3, 4, 5];
/** How often it is looked whether the container's process has ended, and how long its last output may take then. */
const watchMs = 200;
/** A process that was left behind may keep streams open after a shim has asked for the end. */
const graceMs = 5_000;

function run(directory: string): void {
  const options = readDriverOptions(directory);
  const writer = new LogWriter(directory, options.rotation);
  let open = 0;
  let ended = false;
  const end = (): void => {
    if (ended) return;
    ended = true;
    writer.end();
    runAfter(options);
    process.exit(0);
  };
  const follow = (fd: number, stream: "stdout" | "stderr"): void => {
    open++;
    const source = new Socket({ fd, readable: true, writable: false });
    source.on("data", (data: Buffer) => writer.write(stream, data));
    source.on("error", (error) => writer.write("stderr", Buffer.from(`ctrd: log of ${stream}: ${error.message}\n`)));
    source.on("close", () => --open === 0 && end());
  };
  const ofShim = process.send === undefined;
  // A shim that starts a container again knows nothing of the FIFOs of its first run.
  const fifos = ofShim ? undefined : options.fifos;
  follow(fifos === undefined ? stdoutFd : openFifo(fifos.stdout), "stdout");
  if (fifos === undefined) follow(stderrFd, "stderr");
  else if (fifos.stderr !== "") follow(openFifo(fifos.stderr), "stderr");
  // Of an earlier run; that of this one is noted, if at all, once we are ready.
  if (ofShim) clearPid(directory);
  whenEnded(() => readPid(directory) ?? (ofShim ? readBundlePid() : undefined), end);
  process.on("SIGTERM", () => setTimeout(end, graceMs).unref());
  if (fifos === undefined) closeSync(readyFd);
  else process.send?.("ready");
}

/** Calls `ended` once the process of the container is gone and its last output has had time to come. */
function whenEnded(readPid: () => number | undefined, ended: () => void): void {
  let pid: number | undefined;
  let began: string | undefined;
  const timer = setInterval(() => {
    pid ??= readPid();
    if (pid === undefined) return;
    const start = startOf(pid);
    began ??= start;
    if (start !== undefined && start === began) return;
    clearInterval(timer);
    setTimeout(ended, watchMs);
  }, watchMs);
}

/** When a process began, which tells it from a later one with its number; undefined when it is gone. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [state, ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" ? undefined : fields[18];
  } catch {
    // ENOENT or ESRCH; whatever else it may be, there is nothing to watch.
    return undefined;
  }
}

function openFifo(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
}

function runAfter({ after }: DriverOptions): void {
  const [program, ...args] = after?.command ?? [];
  if (program === undefined) return;
  spawn(program, args, { detached: true, stdio: "ignore", env: { ...process.env, ...after?.env } }).unref();
}

const directory = process.argv[2] ?? "";
try {
  run(directory);
} catch (error) {
  // Nobody reads what is printed here.
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  writeFileSync(join(directory, "driver-error.txt"), `${text}\n`);
  process.exitCode = 1;
}
