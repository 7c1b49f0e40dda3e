/**
 * What holds for frames of a type.
 *
 * @module
 */
import { ConnectionError, ErrorCode, protocolError } from "./errors.ts";

/** @throws ConnectionError for a frame that belongs to a stream and names none */
export function checkStreamId(streamId: number, what: string): void {
  if (streamId === 0) throw protocolError(`${what} without a stream`);
}

/** @throws ConnectionError for a frame of the connection that names a stream */
export function checkNoStream(streamId: number, what: string): void {
  if (streamId !== 0) throw protocolError(`${what} on stream ${streamId}`);
}

/** @throws ConnectionError `FRAME_SIZE_ERROR` */
export function checkLength(payload: Buffer, length: number, what: string): void {
  if (payload.length !== length) throw new ConnectionError(ErrorCode.FrameSizeError, `${what} of a wrong length`);
}
