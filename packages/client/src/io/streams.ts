/**
 * Node streams as the streams of a process.
 *
 * @module
 */
import { messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { TaskStdio } from "@ctrd/core/tasks";
import { closeSync, constants, openSync } from "node:fs";
import type { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { FifoSet } from "./fifos.ts";
import { endWithoutWriter, findFifos, makeFifos, openInput, openOutput } from "./fifos.ts";
import type { OutputProgress, OutputReader, TakenOutputs } from "./output-reader.ts";
import type { IoCreator, ProcessIo } from "./process-io.ts";

/** Which streams are connected to what. */
export interface StreamOptions {
  /** `true`: a stream to write to; a stream: what comes out of it; none by default. Its end is the end of stdin. */
  readonly stdin?: boolean | Readable;
  /** `true`, the default: a stream to read from; a stream: where it goes, which is not ended; `false`: thrown away. */
  readonly stdout?: boolean | Writable;
  /** As `stdout`. A terminal has none. */
  readonly stderr?: boolean | Writable;
  /** The process has a terminal. */
  readonly terminal?: boolean;
  /** Reads stdout and stderr in place of this event loop, whatever `stdout` and `stderr` say. */
  readonly outputs?: OutputReader;
}

/**
 * Connects a process to Node streams. Those that nobody else was named for are the `stdin`, `stdout` and `stderr` of the
 * task or process; whoever reads them slowly slows the process down.
 */
export function streams(options: StreamOptions = {}): IoCreator {
  return async ({ id, fifoDirectory, log }) => {
    const { stdin = false, terminal = false } = options;
    const fifos = await makeFifos(fifoDirectory, id, { stdin: stdin !== false, terminal });
    try {
      return await openIo(fifos, options, log);
    } catch (error) {
      await fifos.remove();
      throw error;
    }
  };
}

/** Connects to this program's own stdin, stdout and stderr. */
export function inherit(options: { stdin?: boolean; terminal?: boolean } = {}): IoCreator {
  const { stdin = true, terminal = false } = options;
  return streams({
    ...(stdin ? { stdin: process.stdin } : {}),
    stdout: process.stdout,
    stderr: process.stderr,
    terminal,
  });
}

/** Connects to the FIFOs of a process that was made earlier, by whomever. */
export async function attachStreams(stdio: TaskStdio, options: StreamOptions, log: Logger): Promise<ProcessIo> {
  return openIo(await findFifos(stdio), options, log);
}

async function openIo(fifos: FifoSet, options: StreamOptions, log: Logger): Promise<ProcessIo> {
  const taken = await options.outputs?.open(fifos.stdio);
  try {
    return new PipedIo(fifos, options, log, taken);
  } catch (error) {
    taken?.close();
    throw error;
  }
}

/** How often is looked whether output comes, and after how many looks without any it has become quiet. */
const lookMs = 100;
const quietLooks = 5;

class PipedIo implements ProcessIo {
  readonly stdio: TaskStdio;
  readonly stdin: Writable | undefined;
  readonly stdout: Readable | undefined;
  readonly stderr: Readable | undefined;
  readonly stdinEnded: Promise<void>;
  readonly #fifos: FifoSet;
  readonly #outputs: Output[] = [];
  readonly #taken: TakenOutputs | undefined;
  #input: Input | undefined;
  #closing: Promise<void> | undefined;

  constructor(fifos: FifoSet, options: StreamOptions, log: Logger, taken: TakenOutputs | undefined) {
    const { stdio } = fifos;
    this.#fifos = fifos;
    this.#taken = taken;
    this.stdio = stdio;
    const { stdin = false, stdout = true, stderr = true } = options;
    try {
      if (taken === undefined) {
        this.stdout = this.#open(stdio.stdout, stdout, log);
        this.stderr = this.#open(stdio.stderr, stderr, log);
      }
      if (stdin !== false && stdio.stdin !== "") this.#input = new Input(stdio.stdin, stdin, log);
    } catch (error) {
      for (const output of this.#outputs) output.close();
      throw error;
    }
    this.stdin = stdin === true ? this.#input?.socket : undefined;
    this.stdinEnded = this.#input?.ended ?? new Promise(() => {});
  }

  #open(path: string, sink: boolean | Writable, log: Logger): Readable | undefined {
    if (path === "") return undefined;
    const output = new Output(path, sink, log);
    this.#outputs.push(output);
    return sink === true ? output.socket : undefined;
  }

  releaseStdin(): void {
    this.#input?.release();
  }

  async drained(): Promise<void> {
    await Promise.all([this.#taken?.ended, ...this.#outputs.map((output) => output.drained())]);
  }

  async quiet(signal: AbortSignal): Promise<void> {
    let seen = -1;
    for (let looks = 0; looks < quietLooks && !signal.aborted;) {
      const { bytes, waiting } = (await this.#taken?.progress()) ?? this.#progress();
      looks = bytes === seen && !waiting ? looks + 1 : 0;
      seen = bytes;
      // Aborted: the loop ends.
      await sleep(lookMs, undefined, { signal }).catch(() => {});
    }
  }

  #progress(): OutputProgress {
    return {
      bytes: this.#outputs.reduce((sum, { socket }) => sum + socket.bytesRead, 0),
      waiting: this.#outputs.some(({ socket }) => socket.readableLength > 0),
    };
  }

  cancel(): void {
    const { stdout, stderr } = this.stdio;
    const paths = this.#taken === undefined ? this.#outputs.map(({ path }) => path) : [stdout, stderr];
    for (const path of paths) if (path !== "") endWithoutWriter(path);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  detach(): void {
    this.#input?.close();
    this.#taken?.close();
    for (const output of this.#outputs) output.close();
  }

  async #close(): Promise<void> {
    this.detach();
    await this.#fifos.remove();
  }
}

/** One output: a FIFO that is read by whoever takes the stream, or piped on. */
class Output {
  readonly path: string;
  readonly socket: Socket;
  readonly #sink: Writable | undefined;
  readonly #log: Logger;
  readonly #ended: Promise<void>;

  constructor(path: string, sink: boolean | Writable, log: Logger) {
    this.path = path;
    this.#log = log;
    this.socket = openOutput(path);
    this.#sink = typeof sink === "boolean" ? undefined : sink;
    this.#ended = finished(this.socket, { writable: false }).catch((error: unknown) => {
      // Closed before its end: nobody wanted the rest.
      log.debug({ path, err: messageOf(error) }, "output was not read to its end");
    });
    if (sink === false) this.socket.resume();
    if (this.#sink === undefined) return;
    this.socket.pipe(this.#sink, { end: false });
    this.#sink.on("close", this.#discard);
    this.#sink.on("error", this.#fail);
  }

  /** The process must not stand still because its reader has gone. */
  readonly #discard = (): void => void this.socket.resume();

  readonly #fail = (error: Error): void => {
    this.#log.warn({ path: this.path, err: messageOf(error) }, "output cannot be handed on, the rest is thrown away");
    this.#discard();
  };

  async drained(): Promise<void> {
    if (this.socket.readableFlowing === null && this.socket.listenerCount("readable") === 0) this.socket.resume();
    await this.#ended;
    const sink = this.#sink;
    if (sink?.writable === true) await new Promise<void>((resolve) => sink.write("", () => resolve()));
  }

  close(): void {
    if (this.#sink !== undefined) {
      this.socket.unpipe(this.#sink);
      this.#sink.off("close", this.#discard);
      this.#sink.off("error", this.#fail);
    }
    this.socket.destroy();
  }
}

/** stdin: a FIFO that the caller writes to, or that a stream is piped into. */
class Input {
  readonly socket: Socket;
  readonly ended: Promise<void>;
  readonly #source: Readable | undefined;
  readonly #path: string;
  readonly #log: Logger;
  #keeper: number | undefined;

  constructor(path: string, source: true | Readable, log: Logger) {
    [this.#path, this.#log] = [path, log];
    this.socket = openInput(path);
    // What was written is gone when nobody has the FIFO open any more: the shim may come after our end has ended.
    this.#keeper = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    this.ended = new Promise((resolve) => void this.socket.once("finish", () => resolve()));
    this.socket.on("error", (error) => log.debug({ path, err: messageOf(error) }, "stdin cannot be written"));
    this.#source = source === true ? undefined : source;
    this.#source?.on("error", this.#fail);
    this.#source?.pipe(this.socket);
  }

  readonly #fail = (error: Error): void => {
    this.#log.warn({ path: this.#path, err: messageOf(error) }, "the source of stdin failed, stdin ends here");
    this.socket.end();
  };

  close(): void {
    if (this.#source !== undefined) {
      this.#source.unpipe(this.socket);
      this.#source.off("error", this.#fail);
      // An open terminal that is read would keep the program alive.
      this.#source.pause();
    }
    this.socket.destroy();
    this.release();
  }

  release(): void {
    if (this.#keeper !== undefined) closeSync(this.#keeper);
    this.#keeper = undefined;
  }
}
