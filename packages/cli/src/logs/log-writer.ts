/**
 * Writing logs: one JSON object a line, in files that are rotated by size. It imports only Node's own: the logging
 * program starts with every container.
 *
 * @module
 */
import { closeSync, fstatSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

/** Name of the newest file; older ones have a number behind it. */
export const logFileName = "log.jsonl";

/** When files are rotated. */
export interface RotationOptions {
  /** A file with at least so many bytes is full. */
  readonly maxBytes: number;
  /** Files that are kept, the newest included. */
  readonly maxFiles: number;
}

/** 10 MiB three times, as little as a log of a chatty service is of use. */
export const defaultRotation: RotationOptions = { maxBytes: 10 << 20, maxFiles: 3 };

/** One line of a log file. */
export interface LogRecord {
  /** RFC 3339 with milliseconds. */
  readonly time: string;
  readonly stream: "stdout" | "stderr";
  /** Text; a record that does not end in a line feed is a part of a line. */
  readonly log?: string;
  /** Bytes that are no UTF-8. */
  readonly base64?: string;
}

/** The line after a container's last one. */
export interface EndRecord {
  readonly time: string;
  readonly end: true;
}

/** Appends to a log. */
export class LogWriter {
  readonly #directory: string;
  readonly #rotation: RotationOptions;
  #fd: number;
  #bytes: number;

  constructor(directory: string, rotation: RotationOptions = defaultRotation) {
    [this.#directory, this.#rotation] = [directory, rotation];
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.#fd = this.#open();
    this.#bytes = fstatSync(this.#fd).size;
  }

  /** Appends output, line by line. It is on disk for other processes when this returns. */
  write(stream: "stdout" | "stderr", data: Buffer): void {
    const time = new Date().toISOString();
    let lines = "";
    for (let at = 0; at < data.length;) {
      const feed = data.indexOf(lineFeed, at);
      const end = feed < 0 ? data.length : feed + 1;
      lines += encode(time, stream, data.subarray(at, end));
      at = end;
      if (this.#bytes + lines.length < this.#rotation.maxBytes) continue;
      this.#append(lines);
      lines = "";
    }
    if (lines !== "") this.#append(lines);
  }

  /** Notes that no more comes from this run of the container. */
  end(): void {
    this.#append(`${JSON.stringify({ time: new Date().toISOString(), end: true } satisfies EndRecord)}\n`);
    closeSync(this.#fd);
  }

  #append(text: string): void {
    if (this.#bytes >= this.#rotation.maxBytes) this.#rotate();
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length;) at += writeSync(this.#fd, bytes, at);
    this.#bytes += bytes.length;
  }

  #rotate(): void {
    closeSync(this.#fd);
    const path = join(this.#directory, logFileName);
    const { maxFiles } = this.#rotation;
    rmSync(maxFiles > 1 ? `${path}.${maxFiles - 1}` : path, { force: true });
    for (let number = maxFiles - 2; number >= 0; number--) {
      const from = number === 0 ? path : `${path}.${number}`;
      try {
        renameSync(from, `${path}.${number + 1}`);
      } catch (error) {
        // Not that many yet.
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
    }
    this.#fd = this.#open();
    this.#bytes = 0;
  }

  #open(): number {
    return openSync(join(this.#directory, logFileName), "a", 0o600);
  }
}

const lineFeed = 0x0a;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function encode(time: string, stream: LogRecord["stream"], data: Buffer): string {
  return `${JSON.stringify({ time, stream, ...textOf(data) } satisfies LogRecord)}\n`;
}

function textOf(data: Buffer): { log: string } | { base64: string } {
  try {
    return { log: utf8.decode(data) };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { base64: data.toString("base64") };
  }
}
