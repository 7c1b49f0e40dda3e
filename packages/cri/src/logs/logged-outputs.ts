/** The outputs of one container while the log thread reads them. */
import { failedPrecondition, messageOf, unavailable } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { OutputName } from "./line-writer.ts";
import type { LogCall, LogNotice, OutputsToRead } from "./log-protocol.ts";

/** Who hears what a container says. */
export interface OutputListener {
  /** Takes output while it is watched; what comes next waits for it. */
  output(name: OutputName, chunk: Buffer): Promise<void>;
  readonly log: Logger;
}

type Without<Message, Key extends string> = Message extends unknown ? Omit<Message, Key> : never;

/** The thread, as these outputs reach it. */
export interface OutputsThread {
  call(call: Without<Exclude<LogCall, { type: "stop" | "open" }>, "id">): Promise<unknown>;
  say(notice: Without<LogNotice, "id">): void;
  /** Nothing more comes. */
  forget(): void;
}

/** Outputs that are read and written down. */
export class LoggedOutputs {
  readonly log: Logger;
  /** Whether the thread reads them; not while one that has failed is replaced. */
  isRead = false;
  readonly #listener: OutputListener;
  readonly #thread: OutputsThread;
  readonly #end = Promise.withResolvers<void>();
  #outputs: OutputsToRead;
  #delivered: Promise<void> = Promise.resolve();
  #isClosed = false;
  #isOver = false;

  /** @internal */
  constructor(outputs: OutputsToRead, listener: OutputListener, thread: OutputsThread) {
    [this.#outputs, this.#listener, this.#thread] = [outputs, listener, thread];
    this.log = listener.log;
  }

  /** Resolves when all output has come, was handed on and is written down, or when they were closed. */
  get ended(): Promise<void> {
    return this.#end.promise;
  }

  /** What the thread is to open. */
  get outputs(): OutputsToRead {
    return this.#outputs;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Bytes that were read, and whether some cannot be handed on yet. */
  async progress(): Promise<{ bytes: number; waiting: boolean }> {
    if (this.isRead && !this.#isOver) {
      try {
        return (await this.#thread.call({ type: "progress" })) as { bytes: number; waiting: boolean };
      } catch (error) {
        this.log.debug({ err: messageOf(error) }, "the log thread has ended");
      }
    }
    // While the thread is replaced, what the FIFOs have waits for the next one.
    return { bytes: 0, waiting: !this.#isOver };
  }

  /**
   * Goes on in a new log, after the old one was renamed. No line is lost or in both.
   *
   * @throws when the new one cannot be opened, and the old one is kept; ContainerdError `failed-precondition` at the end
   */
  async reopen(): Promise<void> {
    const path = this.#outputs.target?.path;
    if (path === undefined) throw failedPrecondition("no log is written");
    if (this.#isOver) throw failedPrecondition(`log ${path} is closed: its container has ended`);
    if (!this.isRead) throw unavailable(`log ${path} is opened anew: try again`);
    await this.#thread.call({ type: "reopen" });
  }

  /** Resolves when all output from now on comes to the listener, or none any more. */
  async watch(watched: boolean): Promise<void> {
    this.#outputs = { ...this.#outputs, watched };
    // Whoever takes over from a thread that has failed is told.
    if (this.#isOver || !this.isRead) return;
    try {
      await this.#thread.call({ type: "watch", watched });
    } catch (error) {
      this.log.debug({ err: messageOf(error) }, "output is watched later");
    }
  }

  /** Reads no more; what is in the FIFOs stays there. */
  close(): void {
    if (this.#isClosed || this.#isOver) return;
    this.#isClosed = true;
    if (this.isRead) this.#thread.say({ type: "close" });
    else this.finish();
  }

  /** @internal */
  deliver(name: OutputName, chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.#delivered = this.#delivered.then(async () => {
      await this.#listener.output(name, bytes);
      this.#thread.say({ type: "taken", bytes: bytes.length });
    });
  }

  /** The thread has ended. @internal */
  lose(): void {
    this.isRead = false;
    if (this.#isClosed) this.finish();
  }

  /** Nothing more comes. @internal */
  finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#thread.forget();
    void this.#delivered.finally(() => this.#end.resolve());
  }
}
