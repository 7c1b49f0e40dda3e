/**
 * What a process's streams are connected to.
 *
 * @module
 */
import type { Logger } from "@ctrd/core/log";
import type { TaskStdio } from "@ctrd/core/tasks";
import type { Readable, Writable } from "node:stream";

/** The streams of one process, from before it is made until after it is deleted. */
export interface ProcessIo {
  /** What the daemon and the shim are told. */
  readonly stdio: TaskStdio;
  /** Our ends, when they were asked for. */
  readonly stdin: Writable | undefined;
  readonly stdout: Readable | undefined;
  readonly stderr: Readable | undefined;
  /** Resolves when our end of stdin was ended; the process then has to be told. Never when there is none. */
  readonly stdinEnded: Promise<void>;
  /** The process was told of the end of stdin: what keeps it open is closed. Until then nothing written is lost. */
  releaseStdin(): void;
  /** Resolves when all output was read and handed on. Output that nobody reads is thrown away from now on. */
  drained(): Promise<void>;
  /** Resolves when for a while nothing has come and nothing waits to be taken, or when `signal` aborts. */
  quiet(signal: AbortSignal): Promise<void>;
  /** No process will write any more than it has: ends the streams that nobody has opened. */
  cancel(): void;
  /** Closes our ends, so that others can be opened. */
  detach(): void;
  /** Closes our ends and removes what was made. Repeated calls do nothing. */
  close(): Promise<void>;
}

/** For whom streams are made. */
export interface IoTarget {
  /** Id of the container or of the exec. */
  readonly id: string;
  /** Directory that gets a new one for FIFOs. */
  readonly fifoDirectory: string;
  readonly log: Logger;
}

/** Makes the streams of a process. */
export type IoCreator = (target: IoTarget) => Promise<ProcessIo>;

/** Streams that are no pipes to us: there is nothing to wait for. */
export function unpipedIo(stdio: TaskStdio): ProcessIo {
  return {
    stdio,
    stdin: undefined,
    stdout: undefined,
    stderr: undefined,
    stdinEnded: new Promise(() => {}),
    releaseStdin: () => {},
    drained: async () => {},
    quiet: async () => {},
    cancel: () => {},
    detach: () => {},
    close: async () => {},
  };
}
