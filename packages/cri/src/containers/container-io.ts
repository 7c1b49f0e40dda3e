/**
 * The streams of a container's first process: output goes to its log and to whoever is attached.
 *
 * @module
 */
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import type { IoCreator, Task } from "@ctrd/client";
import { streams } from "@ctrd/client";
import { messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { ContainerLog, OutputName } from "../logs/index.ts";
import { Attachment } from "./attachment.ts";

/** What somebody attaches to. */
export interface AttachStreams {
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
}

/** Streams of a container, from its start to its end. */
export class ContainerIo {
  readonly #settings: { readonly stdin: boolean; readonly stdinOnce: boolean; readonly tty: boolean };
  readonly #directory: string;
  readonly #log: Logger;
  readonly #attachments = new Set<Attachment>();
  #output: ContainerLog | undefined;
  #stdin: Writable | undefined;
  #ended: Promise<unknown> = Promise.resolve();
  #isOver = false;

  /** @param state directory of the container that does not survive a reboot */
  constructor(settings: { stdin: boolean; stdinOnce: boolean; tty: boolean }, state: string, log: Logger) {
    this.#settings = settings;
    this.#directory = join(state, "io");
    this.#log = log;
  }

  /** Makes the FIFOs of a new task. */
  get creator(): IoCreator {
    const { stdin, tty: terminal } = this.#settings;
    const create = streams({ stdin, terminal });
    return (target) => create({ ...target, fifoDirectory: this.#directory });
  }

  /** Begins to read the streams of a task. */
  connect(task: Task, output: ContainerLog | undefined): void {
    this.#output = output;
    this.#stdin = task.stdin;
    task.stdin?.on("error", () => {});
    this.#ended = Promise.all([this.#read("stdout", task.stdout), this.#read("stderr", task.stderr)]);
    void this.#ended.then(() => this.#end());
  }

  /** Resolves when all output has come and is written down. */
  get ended(): Promise<unknown> {
    return this.#ended;
  }

  /** Where output is written down now. */
  get output(): ContainerLog | undefined {
    return this.#output;
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
    const stdin = client.stdin === undefined ? undefined : this.#feed(client.stdin, attachment);
    try {
      if (signal.aborted || this.#isOver) return;
      await attachment.ended;
    } finally {
      signal.removeEventListener("abort", leave);
      this.#attachments.delete(attachment);
      client.stdin?.destroy();
      await stdin;
    }
  }

  async #feed(source: Readable, attachment: Attachment): Promise<void> {
    const { stdinOnce, tty } = this.#settings;
    try {
      for await (const chunk of source) {
        const stdin = this.#stdin;
        if (stdin === undefined || !stdin.writable) break;
        if (!stdin.write(chunk)) await drained(stdin);
      }
    } catch (error) {
      this.#log.debug({ err: messageOf(error) }, "stdin of an attached client broke off");
    }
    if (stdinOnce && !tty) this.#stdin?.end();
    else attachment.end();
  }

  async #read(name: OutputName, source: Readable | undefined): Promise<void> {
    if (source === undefined) return;
    try {
      for await (const chunk of source) await this.#deliver(name, chunk as Buffer);
    } catch (error) {
      this.#log.debug({ stream: name, err: messageOf(error) }, "output of a container was not read to its end");
    }
    this.#output?.end(name);
  }

  async #deliver(name: OutputName, chunk: Buffer): Promise<void> {
    await this.#output?.write(name, chunk);
    for (const attachment of this.#attachments) await attachment.write(name, chunk);
  }

  async #end(): Promise<void> {
    this.#isOver = true;
    for (const attachment of this.#attachments) attachment.end();
    const output = this.#output;
    this.#output = undefined;
    try {
      await output?.close();
    } catch (error) {
      this.#log.error({ err: messageOf(error) }, "log of a container not closed");
    }
  }
}

/** Resolves when a stream takes more, or never will. */
function drained(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      stream.off("drain", done).off("close", done);
      resolve();
    };
    stream.on("drain", done).on("close", done);
  });
}
