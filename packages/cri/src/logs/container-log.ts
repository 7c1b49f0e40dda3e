/**
 * The log of a container in the format of CRI.
 *
 * @module
 */
import type { Logger } from "@ctrd/core/log";
import { setTimeout as sleep } from "node:timers/promises";
import type { OutputName } from "./line-writer.ts";
import { LineWriter } from "./line-writer.ts";
import { LogFile } from "./log-file.ts";
import { LogClock } from "./timestamp.ts";

/** What a log is opened with. */
export interface ContainerLogOptions {
  readonly path: string;
  /** Longest line in bytes; zero and less: any length. */
  readonly maxLine: number;
  readonly log: Logger;
  /** How long closing waits for a disk that does not answer; 10 s by default. */
  readonly closeTimeoutMs?: number;
}

const defaultCloseTimeoutMs = 10_000;

/**
 * Writes down what a container says. Lines of both outputs go to one file, each whole, in the order that they are complete
 * in. A disk that is full loses lines, which the daemon's log tells; a slow one slows the container down.
 */
export class ContainerLog {
  readonly #file: LogFile;
  readonly #clock = new LogClock();
  readonly #writers: Readonly<Record<OutputName, LineWriter>>;
  readonly #options: ContainerLogOptions;
  #closing: Promise<void> | undefined;

  private constructor(file: LogFile, options: ContainerLogOptions) {
    this.#file = file;
    this.#options = options;
    this.#writers = {
      stdout: new LineWriter("stdout", file, options.maxLine),
      stderr: new LineWriter("stderr", file, options.maxLine),
    };
  }

  /** Opens the log, which goes on if it exists. Its directory must. */
  static async open(options: ContainerLogOptions): Promise<ContainerLog> {
    return new ContainerLog(await LogFile.open(options.path, options.log), options);
  }

  /** Takes output. A promise when the disk is behind: it resolves when more may come. The bytes may be used again. */
  write(name: OutputName, chunk: Buffer): Promise<void> | undefined {
    if (this.#closing !== undefined) return undefined;
    const bytes = this.#writers[name].write(chunk, this.#clock.now());
    return bytes === 0 ? undefined : this.#file.flush(bytes);
  }

  /** One output has ended: what came without a newline is written. */
  end(name: OutputName): void {
    const bytes = this.#closing === undefined ? this.#writers[name].end(this.#clock.now()) : 0;
    if (bytes > 0) void this.#file.flush(bytes);
  }

  /**
   * Goes on in a new file, after the old one was renamed. No line is lost or in both.
   *
   * @throws when the new file cannot be opened; the old one is then kept
   */
  async reopen(): Promise<void> {
    await this.#file.reopen();
  }

  /** Writes what is left and closes the file. Repeated calls wait for the same end. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.end("stdout");
      this.end("stderr");
      this.#closing = this.#close();
    }
    return this.#closing;
  }

  async #close(): Promise<void> {
    const over = new AbortController();
    const late = sleep(this.#options.closeTimeoutMs ?? defaultCloseTimeoutMs, true, { signal: over.signal });
    const written = this.#file.settled().then(() => false);
    const isLate = await Promise.race([written, late]);
    over.abort();
    // Aborted unless it came first.
    late.catch(() => {});
    if (!isLate) return this.#file.close();
    this.#options.log.warn({ path: this.#options.path }, "the disk takes the end of a container's log too slowly");
    void written.then(() => this.#file.close()).catch(() => {});
  }
}
