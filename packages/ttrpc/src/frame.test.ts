import { describe, expect, it } from "vitest";
import type { Frame } from "./frame.ts";
import { encodeFrame, FrameDecoder, frameHeaderLength, maxFrameLength, writeFrameHeader } from "./frame.ts";

function collect(): { frames: Frame[]; oversize: [number, number][]; decoder: FrameDecoder } {
  const frames: Frame[] = [];
  const oversize: [number, number][] = [];
  const decoder = new FrameDecoder({
    frame: (frame) => frames.push({ ...frame, data: Uint8Array.from(frame.data) }),
    oversize: (id, length) => oversize.push([id, length]),
  });
  return { frames, oversize, decoder };
}

const nothing = new Uint8Array(0);

describe("frames", () => {
  it("lays a frame out as the protocol says", () => {
    const bytes = Buffer.concat(encodeFrame(0x01020304, 3, 5, nothing, 0, Buffer.from("abc")));
    expect(bytes.toString("hex")).toBe("00000003" + "01020304" + "03" + "05" + "616263");
  });

  it("appends a payload as a protobuf field behind its envelope", () => {
    for (const size of [1, 127, 128, 16 * 1024, 16 * 1024 + 1, 300_000]) {
      const payload = Buffer.alloc(size, 7);
      const bytes = Buffer.concat(encodeFrame(1, 1, 0, Buffer.from([8, 1]), 3, payload));
      expect(bytes.readUInt32BE(0)).toBe(bytes.length - frameHeaderLength);
      expect([...bytes.subarray(10, 13)]).toEqual([8, 1, (3 << 3) | 2]);
      expect(bytes.subarray(-size).equals(payload)).toBe(true);
    }
  });

  it("decodes the same frames however the bytes are cut", () => {
    const sizes = [0, 1, 9, 10, 11, 500, 70_000, 0, 3];
    const stream = Buffer.concat(
      sizes.flatMap((size, i) => encodeFrame(2 * i + 1, 1 + (i % 3), i, nothing, 0, Buffer.alloc(size, i))),
    );
    for (const cut of [1, 2, 3, 7, 10, 11, 64, 1000, 65_536, stream.length]) {
      const { frames, decoder } = collect();
      for (let at = 0; at < stream.length; at += cut) decoder.push(stream.subarray(at, at + cut));
      expect(frames.map((f) => [f.streamId, f.type, f.flags, f.data.length])).toEqual(
        sizes.map((size, i) => [2 * i + 1, 1 + (i % 3), i, size]),
      );
      frames.forEach((f, i) => expect(f.data.every((byte) => byte === i)).toBe(true));
    }
  });

  it("drops the bytes of an oversize frame and reads on", () => {
    const { frames, oversize, decoder } = collect();
    const header = Buffer.alloc(frameHeaderLength);
    writeFrameHeader(header, maxFrameLength + 1, 7, 1, 0);
    decoder.push(header);
    const filler = Buffer.alloc(1024 * 1024);
    for (let i = 0; i < 4; i++) decoder.push(filler);
    decoder.push(Buffer.concat([Buffer.alloc(1), ...encodeFrame(9, 1, 0, nothing, 0, Buffer.from("x"))]));
    expect(oversize).toEqual([[7, maxFrameLength + 1]]);
    expect(frames.map((f) => f.streamId)).toEqual([9]);
  });

  it("takes a frame of exactly the limit", () => {
    const { frames, oversize, decoder } = collect();
    const bytes = Buffer.concat(encodeFrame(1, 3, 0, nothing, 0, Buffer.alloc(maxFrameLength)));
    decoder.push(bytes);
    expect(oversize).toEqual([]);
    expect(frames[0]?.data.length).toBe(maxFrameLength);
  });

  it("survives random bytes", () => {
    let seed = 42;
    const random = (): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff;
    for (let round = 0; round < 200; round++) {
      const { frames, decoder } = collect();
      for (let i = 0; i < 20; i++) {
        const chunk = Buffer.alloc(1 + Math.floor(random() * 200));
        for (let j = 0; j < chunk.length; j++) chunk[j] = random() < 0.6 ? 0 : Math.floor(random() * 256);
        decoder.push(chunk);
      }
      for (const frame of frames) expect(frame.data.length).toBeLessThanOrEqual(maxFrameLength);
    }
  });
});
