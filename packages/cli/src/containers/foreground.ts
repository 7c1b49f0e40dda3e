/**
 * A process with our terminal: its streams are ours, signals and sizes go to it.
 *
 * @module
 */
import type { Readable, Writable } from "node:stream";
import type { ContainerProcess } from "@ctrd/client";
import { useTerminal } from "@ctrd/client";
import { kindOf } from "@ctrd/core/errors";
import { DetachFilter, parseDetachKeys } from "./detach-keys.ts";

/** How a process is in the foreground. */
export interface ForegroundOptions {
  readonly terminal: boolean;
  readonly detachKeys: string;
  /** Pass signals on that we get. */
  readonly forwardSignals: boolean;
  /** Where input goes; none: there is no input. */
  readonly stdin: Writable | undefined;
  /** Starts the process. Signals are passed on by then, and our terminal is raw: what it writes first may ask the terminal for an answer. */
  begin?(): Promise<void>;
}

const forwarded = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

/** Why it is in the foreground no more. */
export type ForegroundEnd = { readonly exitCode: number } | "detached";

/** Copies output as it comes. @returns a promise for the end of all of it */
export function copyOutput(
  sources: readonly (readonly [source: Readable | undefined, target: NodeJS.WriteStream])[],
): Promise<void> {
  const ends = sources.map(async ([source, target]) => {
    for await (const data of (source ?? []) as AsyncIterable<Buffer>) {
      if (!target.write(data)) await new Promise<void>((resolve) => target.once("drain", resolve));
    }
  });
  return Promise.all(ends).then(() => {});
}

/** Gives a process our input, signals and size until it ends or the detach keys are pressed. */
export async function inForeground(process_: ContainerProcess, options: ForegroundOptions): Promise<ForegroundEnd> {
  const { terminal, stdin } = options;
  const detached = Promise.withResolvers<ForegroundEnd>();
  using _terminal = terminal ? useTerminal(process_, process.stdin, process.stdout) : undefined;
  using _signals = options.forwardSignals ? forwardSignals(process_) : undefined;
  if (options.begin !== undefined) {
    await options.begin();
    const { columns, rows, isTTY } = process.stdout;
    // The one before the start may have come too early.
    if (terminal && isTTY) await resize(process_, columns, rows);
  }
  const exit = process_.wait().then(({ exitCode }): ForegroundEnd => ({ exitCode }));
  const keys = terminal && process.stdin.isTTY ? parseDetachKeys(options.detachKeys) : [];
  const filter = new DetachFilter(keys, () => {
    // What comes next begins its own line.
    process.stdout.write("\r\n");
    detached.resolve("detached");
  });
  if (stdin !== undefined) process.stdin.pipe(filter).pipe(stdin);
  try {
    return await Promise.race([exit, detached.promise]);
  } finally {
    if (stdin !== undefined) {
      process.stdin.unpipe(filter);
      filter.unpipe(stdin);
      // An open terminal would keep this program.
      process.stdin.pause();
      if ("unref" in process.stdin) process.stdin.unref();
    }
  }
}

async function resize(target: ContainerProcess, columns: number, rows: number): Promise<void> {
  await unlessEnded(() => target.resize(columns, rows));
}

/** Does something to a process that may have just ended. */
async function unlessEnded(body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } catch (error) {
    const kind = kindOf(error);
    // Shims answer `unknown` when the terminal is gone already.
    if (kind !== "not-found" && kind !== "failed-precondition" && kind !== "unknown") throw error;
  }
}

function forwardSignals(target: ContainerProcess): Disposable {
  const forward = (name: NodeJS.Signals): void => {
    void unlessEnded(() => target.kill(name));
  };
  for (const name of forwarded) process.on(name, forward);
  return {
    [Symbol.dispose]() {
      for (const name of forwarded) process.off(name, forward);
    },
  };
}
