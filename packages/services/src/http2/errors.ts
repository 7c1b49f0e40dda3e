/** Error codes of HTTP/2 (RFC 9113, section 7). */
export const ErrorCode = {
  NoError: 0x0,
  ProtocolError: 0x1,
  InternalError: 0x2,
  FlowControlError: 0x3,
  StreamClosed: 0x5,
  FrameSizeError: 0x6,
  RefusedStream: 0x7,
  Cancel: 0x8,
  CompressionError: 0x9,
  EnhanceYourCalm: 0xb,
} as const;

/** The peer broke the protocol; the connection ends. */
export class ConnectionError extends Error {
  override readonly name: string = "ConnectionError";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** The peer broke the rules of one stream; that stream is reset. */
export class StreamError extends Error {
  override readonly name: string = "StreamError";
  readonly code: number;
  readonly streamId: number;

  constructor(streamId: number, code: number, message: string) {
    super(`stream ${streamId}: ${message}`);
    this.code = code;
    this.streamId = streamId;
  }
}

/** A {@link ConnectionError} with code `PROTOCOL_ERROR`. */
export function protocolError(message: string): ConnectionError {
  return new ConnectionError(ErrorCode.ProtocolError, message);
}
