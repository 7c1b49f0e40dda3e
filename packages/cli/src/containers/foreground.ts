/**
 * A process with our terminal: its streams are ours, signals and sizes go to it.
 *
 * @module
 */
import type { Readable, Writable } from "node:stream";
import type { ContainerProcess } from "@ctrd/client";
import { useTerminal } from "@ctrd/client";
import { isKind } from "@ctrd/core/errors";
import { DetachFilter, parseDetachKeys } from "./detach-keys.ts";

/** How a process is in the foreground. */
export interface ForegroundOptions {
  readonly terminal: boolean;
  readonly detachKeys: string;
  /** Pass signals on that we get. */
  readonly forwardSignals: boolean;
  /** Where input goes; none: there is no input. */
  readonly stdin: Writable | undefined;
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

/** Gives a started process our input, signals and size until it ends or the detach keys are pressed. */
export async function inForeground(process_: ContainerProcess, options: ForegroundOptions): Promise<ForegroundEnd> {
  const { terminal, stdin } = options;
  const detached = Promise.withResolvers<ForegroundEnd>();
  const exit = process_.wait().then(({ exitCode }): ForegroundEnd => ({ exitCode }));
  using _terminal = terminal ? useTerminal(process_, process.stdin, process.stdout) : undefined;
  using _signals = options.forwardSignals ? forwardSignals(process_) : undefined;
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

function forwardSignals(target: ContainerProcess): Disposable {
  const forward = (name: NodeJS.Signals): void => {
    target.kill(name).catch((error: unknown) => {
      // It has just ended.
      if (!isKind(error, "not-found") && !isKind(error, "failed-precondition")) throw error;
    });
  };
  for (const name of forwarded) process.on(name, forward);
  return {
    [Symbol.dispose]() {
      for (const name of forwarded) process.off(name, forward);
    },
  };
}
