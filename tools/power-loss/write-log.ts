/**
 * What a disk was told, in order: writes, flushes, and marks that a test puts between them.
 */
import { closeSync, openSync, readSync, writeSync } from "node:fs";

/** One entry. */
export type LogEntry =
  | {
      readonly kind: "write";
      readonly offset: number;
      readonly size: number;
      /** Of the data in the log. */ readonly at: number;
    }
  /** All writes before it are on the disk for good. */
  | { readonly kind: "flush" }
  | { readonly kind: "mark"; readonly text: string };

const kinds = ["write", "flush", "mark"] as const;
const headerSize = 16;

/** Appends to the file of a log. */
export class LogWriter {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, "wx", 0o600);
  }

  append(kind: LogEntry["kind"], offset = 0, data: Uint8Array = new Uint8Array(0)): void {
    const header = Buffer.alloc(headerSize);
    header.writeUInt32LE(kinds.indexOf(kind), 0);
    header.writeUInt32LE(data.length, 4);
    header.writeBigUInt64LE(BigInt(offset), 8);
    writeSync(this.#fd, header);
    if (data.length > 0) writeSync(this.#fd, data);
  }
}

/** A log that is read. */
export class WriteLog {
  readonly entries: readonly LogEntry[];
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, "r");
    this.entries = [...this.#read()];
  }

  /** The bytes of a write. */
  data({ at, size }: { readonly at: number; readonly size: number }): Buffer {
    const data = Buffer.alloc(size);
    readSync(this.#fd, data, 0, size, at);
    return data;
  }

  close(): void {
    closeSync(this.#fd);
  }

  *#read(): Generator<LogEntry> {
    const header = Buffer.alloc(headerSize);
    for (let position = 0; readSync(this.#fd, header, 0, headerSize, position) === headerSize;) {
      const kind = kinds[header.readUInt32LE(0)];
      const size = header.readUInt32LE(4);
      const at = position + headerSize;
      if (kind === "write") yield { kind, offset: Number(header.readBigUInt64LE(8)), size, at };
      if (kind === "flush") yield { kind };
      if (kind === "mark") yield { kind, text: this.data({ at, size }).toString() };
      position = at + size;
    }
  }
}
