// Compressed archives, and those made to fill the disk.
import { createZstdCompress, gzipSync, zstdCompressSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { uncompressed } from "./uncompressed.ts";

async function* pieces(data: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
}
async function lengthOf(source: AsyncIterable<Uint8Array>): Promise<number> {
  let length = 0;
  for await (const chunk of source) length += chunk.length;
  return length;
}

const data = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * index) >> 7));

describe("uncompressed", () => {
  const two = [data.subarray(0, 100_000), data.subarray(100_000)];
  it.each([
    ["plain", data],
    ["gzip", gzipSync(data)],
    ["zstd", zstdCompressSync(data)],
    ["gzip of two members", Buffer.concat(two.map((part) => gzipSync(part)))],
    ["zstd of two frames", Buffer.concat(two.map((part) => zstdCompressSync(part)))],
  ])("%s, in pieces of any size", async (_name, bytes) => {
    for (const size of [5, 1_000, 1 << 20]) {
      expect(Buffer.concat(await Array.fromAsync(uncompressed(pieces(bytes, size)))).equals(data)).toBe(true);
    }
    expect(await Array.fromAsync(uncompressed(pieces(Buffer.alloc(0), 1)))).toEqual([]);
  });

  it.each([
    ["gzip", gzipSync(data)],
    ["zstd", zstdCompressSync(data)],
  ])("damaged %s is one error", async (_name, bytes) => {
    const cut = uncompressed(pieces(bytes.subarray(0, bytes.length - 20), 1_000));
    await expect(lengthOf(cut)).rejects.toMatchObject({ kind: "invalid-argument" });
  });
});

describe("JS-bomb: an archive made to fill the disk", () => {
  /** Two GiB of zeros, as zstd has them: some hundred KiB. */
  async function bomb(): Promise<Buffer> {
    const compressor = createZstdCompress();
    const zeros = Buffer.alloc(16 << 20);
    const collecting = Array.fromAsync(compressor as AsyncIterable<Buffer>);
    for (let count = 0; count < 128; count++) {
      if (!compressor.write(zeros)) await new Promise((resolve) => compressor.once("drain", resolve));
    }
    compressor.end();
    return Buffer.concat(await collecting);
  }

  it("is refused by its ratio, unless that is allowed, and by its size", async () => {
    const bytes = await bomb();
    expect(bytes.length).toBeLessThan(1 << 20);
    const before = process.memoryUsage().rss;
    const refused = { kind: "resource-exhausted", message: expect.stringContaining("more than 1100 times as much") };
    await expect(lengthOf(uncompressed(pieces(bytes, 65_536)))).rejects.toMatchObject(refused);
    await expect(lengthOf(uncompressed(pieces(bytes, 65_536), { maxSize: 1 << 20 }))).rejects.toMatchObject({
      kind: "resource-exhausted",
      message: expect.stringContaining("larger than 1048576 bytes"),
    });
    expect(await lengthOf(uncompressed(pieces(bytes, 65_536), { maxRatio: Infinity }))).toBe(2 ** 31);
    expect(process.memoryUsage().rss - before).toBeLessThan(300 << 20);
  }, 60_000);

  it("that is plain is refused by its size", async () => {
    await expect(lengthOf(uncompressed(pieces(data, 1_000), { maxSize: 1_000 }))).rejects.toMatchObject({
      kind: "resource-exhausted",
    });
  });
});
