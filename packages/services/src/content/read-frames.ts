import { EncodedMessage } from "../rpc/index.ts";

/** Room before the data for the other fields: two tags, a varint of 63 bits, a length of 32 bits. */
const prefixRoom = 16;

/** Fields of ReadContentResponse with their wire types. */
const offsetTag = (1 << 3) | 0;
const dataTag = (2 << 3) | 2;

/** An encoded ReadContentResponse. */
export class ReadFrame extends EncodedMessage {
  /** Bytes of data in it. */
  readonly count: number;

  constructor(bytes: Buffer, count: number, onSent: () => void) {
    super(bytes, onSent);
    this.count = count;
  }
}

/**
 * Encoded answers of a Read, around data that is read from the file into its place in the message: it is not copied
 * before the kernel takes it. Buffers that have been sent are used again.
 */
export class ReadFrames {
  /** Most bytes of data in a message. */
  readonly size: number;
  readonly #free: Buffer[] = [];

  /** @param size most bytes of data in a message */
  constructor(size: number) {
    this.size = size;
  }

  /**
   * Makes a message of what `read` puts into the buffer it is given.
   *
   * @param offset of the data from the start of the answer
   * @param left bytes that are wanted still
   */
  async fill(offset: bigint, left: bigint, read: (target: Buffer) => Promise<Uint8Array>): Promise<ReadFrame> {
    const buffer = this.#free.pop() ?? Buffer.allocUnsafeSlow(prefixRoom + this.size);
    const wanted = left < BigInt(this.size) ? Number(left) : this.size;
    const target = buffer.subarray(prefixRoom, prefixRoom + wanted);
    const data = await read(target);
    if (data.buffer !== target.buffer || data.byteOffset !== target.byteOffset) target.set(data);
    const start = writePrefix(buffer, offset, data.length);
    const bytes = buffer.subarray(start, prefixRoom + data.length);
    return new ReadFrame(bytes, data.length, () => this.#free.push(buffer));
  }
}

/** Writes the fields before the data so that they end where it begins; returns where they start. */
function writePrefix(buffer: Buffer, offset: bigint, length: number): number {
  const prefix: number[] = [];
  if (offset > 0n) {
    prefix.push(offsetTag);
    pushVarint(prefix, offset);
  }
  prefix.push(dataTag);
  pushVarint(prefix, BigInt(length));
  const start = prefixRoom - prefix.length;
  buffer.set(prefix, start);
  return start;
}

function pushVarint(bytes: number[], value: bigint): void {
  let rest = value;
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
}
