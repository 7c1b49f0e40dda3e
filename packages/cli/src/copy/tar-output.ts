import type { TarEntry, TarSink } from "@ctrd/archive";
import { endOfArchive, formatHeader, padding } from "@ctrd/archive";

const zeros = Buffer.alloc(1 << 20);

/** Entries as a tar stream. Holes are filled with zeros. `take` what has gathered often. */
export class TarOutput implements TarSink {
  #pieces: Buffer[] = [];
  #entry: TarEntry | undefined;
  #position = 0;
  /** Bytes that have gathered. */
  size = 0;

  begin(entry: TarEntry): void {
    this.#entry = entry;
    this.#position = 0;
    this.#add(formatHeader(entry));
  }

  data(bytes: Buffer, position: number): void {
    this.#fill(position);
    this.#add(Buffer.from(bytes));
    this.#position += bytes.length;
  }

  end(): void {
    const { size } = this.#entry ?? { size: 0 };
    this.#fill(size);
    this.#add(Buffer.alloc(padding(size)));
  }

  finish(): void {
    this.#add(endOfArchive);
  }

  /** What has gathered; it is forgotten. */
  take(): Buffer[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    this.size = 0;
    return pieces;
  }

  #fill(position: number): void {
    while (this.#position < position) {
      const piece = zeros.subarray(0, position - this.#position);
      this.#add(piece);
      this.#position += piece.length;
    }
  }

  #add(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#pieces.push(piece);
    this.size += piece.length;
  }
}
