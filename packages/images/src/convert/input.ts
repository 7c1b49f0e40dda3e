/**
 * The bytes of a layer as a worker gets them: from a file, or asked for in messages, a few pieces ahead. They can be
 * read more than once.
 *
 * @module
 */
import { open } from "node:fs/promises";
import { dataLoss } from "@ctrd/core/errors";

/** Reads up to `length` bytes at `offset`. */
export type ReadAt = (offset: number, length: number) => Promise<Buffer>;

const pieceSize = 1 << 20;
/** Pieces asked for before they are needed. */
const ahead = 3;

/** The whole layer, piece by piece. @throws ContainerdError `data-loss` when it is shorter than `size` */
export async function* readPieces(read: ReadAt, size: number): AsyncGenerator<Buffer> {
  const pending: Promise<Buffer>[] = [];
  let asked = 0;
  const ask = (): void => {
    while (pending.length < ahead && asked < size) {
      const length = Math.min(pieceSize, size - asked);
      const piece = wholePiece(read, asked, length);
      // It is awaited in its turn.
      piece.catch(() => {});
      pending.push(piece);
      asked += length;
    }
  };
  for (ask(); pending.length > 0; ask()) {
    const piece = await pending.shift();
    if (piece !== undefined) yield piece;
  }
}

async function wholePiece(read: ReadAt, offset: number, length: number): Promise<Buffer> {
  const first = await read(offset, length);
  if (first.length === length) return first;
  const parts = [first];
  for (let at = first.length; at < length;) {
    const more = await read(offset + at, length - at);
    if (more.length === 0) throw dataLoss(`the layer ends ${length - at} bytes before byte ${offset + length}`);
    parts.push(more);
    at += more.length;
  }
  return Buffer.concat(parts);
}

/** Runs `body` with a reader of the file at `path`. */
export async function withFile<T>(path: string, body: (read: ReadAt) => Promise<T>): Promise<T> {
  await using file = await open(path);
  return await body(async (offset, length) => {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafeSlow(length), 0, length, offset);
    return buffer.subarray(0, bytesRead);
  });
}
