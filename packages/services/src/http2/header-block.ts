/**
 * Header blocks that come in several frames.
 *
 * @module
 */
import { ConnectionError, ErrorCode, protocolError, StreamError } from "./errors.ts";
import { FrameFlag, FrameType } from "./frame.ts";

/** Most bytes of a block, and most frames. */
const maxBlockBytes = 64 << 10;
const maxBlockFrames = 64;

/** A complete block. */
export interface HeaderBlock {
  readonly streamId: number;
  readonly endStream: boolean;
  readonly bytes: Buffer;
  /** What was wrong with the frame. The block must be decoded all the same. */
  readonly fault: StreamError | undefined;
}

/** Puts the blocks of a connection together. */
export class HeaderBlocks {
  #open:
    | { streamId: number; endStream: boolean; parts: Buffer[]; size: number; fault: StreamError | undefined }
    | undefined;

  /** Nothing may come between the frames of a block. @throws ConnectionError `PROTOCOL_ERROR` when it does */
  checkOrder(type: number, streamId: number): void {
    const expected = this.#open;
    const continues = type === FrameType.Continuation;
    if (expected === undefined ? continues : !continues || expected.streamId !== streamId) {
      throw protocolError("frames between those of a header block, or a CONTINUATION of none");
    }
  }

  /** Takes a HEADERS or CONTINUATION frame. @returns the block when it is complete */
  push(type: number, flags: number, streamId: number, payload: Buffer): HeaderBlock | undefined {
    const first = type === FrameType.Headers;
    const block = this.#open ?? {
      streamId,
      endStream: (flags & FrameFlag.EndStream) !== 0,
      parts: [],
      size: 0,
      fault: first && dependsOnItself(flags, streamId, payload) ? selfDependency(streamId) : undefined,
    };
    const fragment = first ? withoutPadding(flags, payload) : payload;
    block.parts.push(fragment);
    block.size += fragment.length;
    if (block.size > maxBlockBytes || block.parts.length > maxBlockFrames) {
      throw new ConnectionError(ErrorCode.EnhanceYourCalm, `a header block of more than ${maxBlockBytes} bytes`);
    }
    if ((flags & FrameFlag.EndHeaders) === 0) {
      this.#open = block;
      return undefined;
    }
    this.#open = undefined;
    const bytes = block.parts.length === 1 ? fragment : Buffer.concat(block.parts);
    return { streamId, endStream: block.endStream, bytes, fault: block.fault };
  }
}

/** The error of a stream that is said to depend on itself. */
export function selfDependency(streamId: number): StreamError {
  return new StreamError(streamId, ErrorCode.ProtocolError, "it depends on itself");
}

function dependsOnItself(flags: number, streamId: number, payload: Buffer): boolean {
  if ((flags & FrameFlag.Priority) === 0) return false;
  const at = (flags & FrameFlag.Padded) === 0 ? 0 : 1;
  return payload.length >= at + 4 && (payload.readUInt32BE(at) & 0x7fff_ffff) === streamId;
}

function withoutPadding(flags: number, payload: Buffer): Buffer {
  let start = 0;
  let padding = 0;
  if ((flags & FrameFlag.Padded) !== 0) padding = payload[start++] ?? 0;
  if ((flags & FrameFlag.Priority) !== 0) start += 5;
  const end = payload.length - padding;
  if (start > payload.length || end < start) throw protocolError("more padding than the frame has bytes");
  return payload.subarray(start, end);
}
