/**
 * The log FIFO of a bundle: what shims write goes to the daemon's log.
 *
 * @module
 */
import { constants, openSync } from "node:fs";
import { Socket } from "node:net";
import type { Logger } from "@ctrd/core/log";

/** Longest line that is kept together. */
const lineLimit = 16 * 1024;
/** How long a closing log still takes what lies in the pipe. */
const drainMs = 50;

/** Reads a log FIFO until it is closed. */
export class ShimLog {
  readonly #socket: Socket;
  readonly #log: Logger;
  #rest = "";

  /**
   * Opens the FIFO, for reading and writing so that neither side blocks and the pipe has no end.
   *
   * @throws the errno of open(2)
   */
  constructor(path: string, log: Logger) {
    this.#log = log;
    const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    this.#socket = new Socket({ fd, readable: true, writable: false });
    this.#socket.setEncoding("utf8");
    this.#socket.on("data", (text: string) => this.#take(text));
    this.#socket.on("error", (error) => log.debug({ err: error, path }, "read shim log"));
    // A log alone does not keep the daemon running.
    this.#socket.unref();
  }

  /** Stops reading, after what the shim has written last. */
  close(): void {
    setTimeout(() => {
      this.#socket.destroy();
      if (this.#rest !== "") this.#line(this.#rest);
      this.#rest = "";
    }, drainMs).unref();
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#line(line);
    if (this.#rest.length > lineLimit) {
      this.#line(this.#rest);
      this.#rest = "";
    }
  }

  #line(line: string): void {
    if (line.trim() === "") return;
    const level = /\blevel=(\w+)/.exec(line)?.[1] ?? "info";
    const fields = { shim: line };
    if (level === "error" || level === "fatal" || level === "panic") this.#log.error(fields, "shim log");
    else if (level === "warning" || level === "warn") this.#log.warn(fields, "shim log");
    else if (level === "debug" || level === "trace") this.#log.debug(fields, "shim log");
    else this.#log.info(fields, "shim log");
  }
}
