/** An answer that is encoded already: its bytes go to the socket without a copy. */
export class EncodedMessage {
  /** The encoded message, without gRPC's header. */
  readonly bytes: Buffer;
  /**
   * Called when the bytes have left, so that their memory may be used again; not when the peer leaves before, and not for
   * the only answer of a call.
   */
  readonly onSent: (() => void) | undefined;

  constructor(bytes: Buffer, onSent?: () => void) {
    this.bytes = bytes;
    this.onSent = onSent;
  }
}
