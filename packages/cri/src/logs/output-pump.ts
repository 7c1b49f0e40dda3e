/**
 * The outputs of one container: from their FIFOs into its log, and to the daemon while somebody is attached.
 *
 * @module
 */
import { closeSync, constants, openSync } from "node:fs";
import { Socket } from "node:net";
import { messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import { ContainerLog } from "./container-log.ts";
import type { OutputName } from "./line-writer.ts";
import type { OutputsToRead } from "./log-protocol.ts";

/** What a pump tells. */
export interface PumpListener {
  /** Output while it is watched. The chunk is the listener's own. */
  output(name: OutputName, chunk: Uint8Array<ArrayBuffer>): void;
  readonly log: Logger;
}

/** Output that watchers may be behind with; then nothing is read until they have taken half of it. */
const maxUntaken = 512 * 1024;

/** Into which all outputs of a thread are read: a chunk has been handled when the next one is read. */
const chunkBuffer = Buffer.allocUnsafeSlow(64 * 1024);

/** Reads until all outputs have ended, then closes the log. */
export class OutputPump {
  readonly #listener: PumpListener;
  readonly #log: ContainerLog | undefined;
  readonly #sources: Source[] = [];
  readonly ended: Promise<void>;
  readonly #sendable: Record<OutputName, number>;
  #watched: boolean;
  #untaken = 0;
  #bytes = 0;

  private constructor(outputs: OutputsToRead, log: ContainerLog | undefined, listener: PumpListener) {
    [this.#listener, this.#log, this.#watched] = [listener, log, outputs.watched];
    const { limit = Number.POSITIVE_INFINITY } = outputs;
    this.#sendable = { stdout: limit, stderr: limit };
    try {
      for (const name of ["stdout", "stderr"] as const) {
        if (outputs[name] !== "") this.#sources.push(this.#open(name, outputs[name]));
      }
    } catch (error) {
      this.close();
      throw error;
    }
    this.ended = Promise.all(this.#sources.map(({ ended }) => ended)).then(() => this.#closeLog());
  }

  /** Opens the log, then the FIFOs. @throws when one of them cannot be opened */
  static async open(outputs: OutputsToRead, listener: PumpListener): Promise<OutputPump> {
    const { target } = outputs;
    const log = target === undefined ? undefined : await ContainerLog.open({ ...target, log: listener.log });
    try {
      return new OutputPump(outputs, log, listener);
    } catch (error) {
      await log?.close();
      throw error;
    }
  }

  /** Bytes that were read, and whether there are some that cannot be handed on yet. */
  get progress(): { bytes: number; waiting: boolean } {
    return { bytes: this.#bytes, waiting: this.#sources.some((source) => source.isHeld) };
  }

  /** @throws as {@link ContainerLog.reopen} */
  async reopen(): Promise<void> {
    await this.#log?.reopen();
  }

  /** From now on output goes to the listener as well, or no longer. */
  watch(watched: boolean): void {
    this.#watched = watched;
    if (!watched) this.taken(this.#untaken);
  }

  /** The listener has taken bytes of what it was given. */
  taken(bytes: number): void {
    this.#untaken = Math.max(0, this.#untaken - bytes);
    if (this.#untaken <= maxUntaken / 2) for (const source of this.#sources) source.hold("watchers", false);
  }

  /** Reads no more; what is in the FIFOs stays there. */
  close(): void {
    for (const source of this.#sources) source.close();
  }

  #open(name: OutputName, path: string): Source {
    const source = new Source(path, (chunk) => this.#take(name, source, chunk));
    void source.ended.then((error) => {
      if (error !== undefined) this.#listener.log.warn({ stream: name, err: messageOf(error) }, "output not read on");
      this.#log?.end(name);
    });
    return source;
  }

  #take(name: OutputName, source: Source, chunk: Buffer): void {
    this.#bytes += chunk.length;
    const behind = this.#log?.write(name, chunk);
    if (behind !== undefined) {
      source.hold("disk", true);
      void behind.then(() => source.hold("disk", false));
    }
    const size = Math.min(chunk.length, this.#sendable[name]);
    if (!this.#watched || size === 0) return;
    this.#sendable[name] -= size;
    this.#untaken += size;
    this.#listener.output(name, Uint8Array.from(chunk.subarray(0, size)));
    if (this.#untaken > maxUntaken) for (const each of this.#sources) each.hold("watchers", true);
  }

  async #closeLog(): Promise<void> {
    try {
      await this.#log?.close();
    } catch (error) {
      this.#listener.log.error({ err: messageOf(error) }, "log of a container not closed");
    }
  }
}

/** A FIFO that is read. */
class Source {
  /** Resolves when it has ended, with why it did when that was no end of output. */
  readonly ended: Promise<Error | undefined>;
  readonly #socket: Socket;
  readonly #reasons = new Set<string>();

  constructor(path: string, take: (chunk: Buffer) => void) {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const callback = (size: number): boolean => {
      take(chunkBuffer.subarray(0, size));
      return !this.isHeld;
    };
    try {
      const onread = { buffer: chunkBuffer, callback };
      this.#socket = new Socket({ fd, readable: true, writable: false, onread });
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    let failure: Error | undefined;
    this.#socket.on("error", (error) => (failure = error));
    this.ended = new Promise((resolve) => void this.#socket.once("close", () => resolve(failure)));
    this.#socket.resume();
  }

  get isHeld(): boolean {
    return this.#reasons.size > 0;
  }

  /** Stops reading, or goes on unless there is another reason not to. */
  hold(reason: string, hold: boolean): void {
    if (hold === this.#reasons.has(reason)) return;
    if (hold) this.#reasons.add(reason);
    else this.#reasons.delete(reason);
    if (this.#socket.destroyed) return;
    if (this.isHeld) this.#socket.pause();
    else this.#socket.resume();
  }

  close(): void {
    this.#socket.destroy();
  }
}
