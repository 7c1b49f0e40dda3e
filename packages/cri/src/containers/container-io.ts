/**
 * The streams of a container's first process: output goes to its log and to whoever is attached.
 *
 * @module
 */
import type { Readable, Writable } from "node:stream";
import type { IoCreator, OutputReader, Task } from "@ctrd/client";
import { streams } from "@ctrd/client";
import { failedPrecondition, messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { LoggedOutputs, LogTarget, LogThread, OutputName } from "../logs/index.ts";
import { Attachment } from "./attachment.ts";

/** What somebody attaches to. */
export interface AttachStreams {
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
}

/** What {@link ContainerIo} is made with. */
export interface ContainerIoOptions {
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly tty: boolean;
  /** Where FIFOs are made: a directory that does not survive a reboot. */
  readonly directory: string;
  readonly logs: LogThread;
  /** Where output is written down, if anywhere. */
  readonly target: LogTarget | undefined;
  readonly log: Logger;
}

/** Streams of a container, from its start to its end. */
export class ContainerIo {
  readonly #options: ContainerIoOptions;
  readonly #log: Logger;
  readonly #attachments = new Set<Attachment>();
  #outputs: LoggedOutputs | undefined;
  #stdin: Writable | undefined;
  #isOver = false;

  constructor(options: ContainerIoOptions) {
    this.#options = options;
    this.#log = options.log;
  }

  /** Makes the FIFOs of a new task. Its outputs are read from then on. */
  get creator(): IoCreator {
    const { stdin, tty: terminal, directory: fifoDirectory } = this.#options;
    const create = streams({ stdin, terminal, outputs: this.reader });
    return (target) => create({ ...target, fifoDirectory });
  }

  /** Reads the outputs of a task. */
  get reader(): OutputReader {
    return { open: (paths) => this.#read(paths) };
  }

  /** The task is there: its stdin can be written. */
  connect(task: Task): void {
    this.#stdin = task.stdin;
    task.stdin?.on("error", () => {});
  }

  /** Resolves when all output has come and is written down. */
  get ended(): Promise<unknown> {
    return this.#outputs?.ended ?? Promise.resolve();
  }

  /**
   * Goes on in a new log, after the old one was renamed.
   *
   * @throws when that cannot be opened; ContainerdError `failed-precondition` when there is none, or it has ended
   */
  async reopenLog(): Promise<void> {
    if (this.#outputs === undefined) throw failedPrecondition("nothing is read");
    await this.#outputs.reopen();
  }

  /**
   * Connects somebody's streams.
   *
   * @returns when the output ends, `signal` aborts, or the client's stdin has ended: unless the container is to see the
   * end of that (`stdin_once` without a terminal)
   */
  async attach(client: AttachStreams, signal: AbortSignal): Promise<void> {
    const attachment = new Attachment(client);
    this.#attachments.add(attachment);
    const leave = (): void => attachment.end();
    signal.addEventListener("abort", leave, { once: true });
    let stdin: Promise<void> | undefined;
    try {
      // What the container answers must be seen.
      await this.#outputs?.watch(true);
      if (client.stdin !== undefined) stdin = this.#feed(client.stdin, attachment);
      if (signal.aborted || this.#isOver) return;
      await attachment.ended;
    } finally {
      signal.removeEventListener("abort", leave);
      this.#attachments.delete(attachment);
      if (this.#attachments.size === 0) void this.#outputs?.watch(false);
      client.stdin?.destroy();
      await stdin;
    }
  }

  async #feed(source: Readable, attachment: Attachment): Promise<void> {
    const { stdinOnce, tty } = this.#options;
    try {
      for await (const chunk of source) {
        const stdin = this.#stdin;
        if (stdin === undefined || !stdin.writable) break;
        if (!stdin.write(chunk)) await drained(stdin, source);
      }
    } catch (error) {
      this.#log.debug({ err: messageOf(error) }, "stdin of an attached client broke off");
    }
    if (stdinOnce && !tty) this.#stdin?.end();
    else attachment.end();
  }

  async #read({ stdout, stderr }: { stdout: string; stderr: string }): Promise<LoggedOutputs> {
    const { logs, target, log } = this.#options;
    const outputs = await logs.open(
      { stdout, stderr, target, watched: false },
      { log, output: (name, chunk) => this.#deliver(name, chunk) },
    );
    this.#outputs = outputs;
    void outputs.ended.then(() => this.#end());
    return outputs;
  }

  async #deliver(name: OutputName, chunk: Buffer): Promise<void> {
    await Promise.all([...this.#attachments].map((attachment) => attachment.write(name, chunk)));
  }

  #end(): void {
    this.#isOver = true;
    for (const attachment of this.#attachments) attachment.end();
  }
}

/** Resolves when a stream takes more, or never will, or when whoever fed it has gone. */
function drained(stream: Writable, source: Readable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off("drain", done).off("close", done);
      source.off("close", done);
      resolve();
    };
    stream.on("drain", done).on("close", done);
    source.on("close", done);
    if (source.destroyed) done();
  });
}
