/**
 * As much of the FUSE protocol (linux/fuse.h, 7.31) as a file system of two files needs. Numbers are little-endian.
 */

/** Operations that are answered with more than "not implemented". */
export const Operation = {
  Lookup: 1,
  Forget: 2,
  GetAttr: 3,
  SetAttr: 4,
  Open: 14,
  Read: 15,
  Write: 16,
  StatFs: 17,
  Release: 18,
  Fsync: 20,
  Flush: 25,
  Init: 26,
  OpenDir: 27,
  ReadDir: 28,
  ReleaseDir: 29,
  Interrupt: 36,
  Destroy: 38,
  BatchForget: 42,
} as const;

/** A request of the kernel. */
export interface FuseRequest {
  readonly operation: number;
  readonly unique: bigint;
  readonly node: bigint;
  /** What follows the header; valid until the next request is read. */
  readonly body: Buffer;
}

const requestHeader = 40;
const answerHeader = 16;

/** The largest write that is asked for. */
export const maxWrite: number = 1 << 20;

/** Bytes that one request may take. */
export const largestRequest: number = maxWrite + (1 << 16);

export function parseRequest(message: Buffer): FuseRequest {
  return {
    operation: message.readUInt32LE(4),
    unique: message.readBigUInt64LE(8),
    node: message.readBigUInt64LE(16),
    body: message.subarray(requestHeader, message.readUInt32LE(0)),
  };
}

/** @param errno 0, or the number of an errno */
export function encodeAnswer(unique: bigint, errno: number, body: Uint8Array = new Uint8Array(0)): Buffer {
  const header = Buffer.alloc(answerHeader);
  header.writeUInt32LE(answerHeader + body.length, 0);
  header.writeInt32LE(-errno, 4);
  header.writeBigUInt64LE(unique, 8);
  return Buffer.concat([header, body]);
}

/** The answer to Init: writes up to {@link maxWrite} bytes, nothing that is optional besides. */
export function encodeInit(): Buffer {
  const maxPagesFlag = 1 << 22;
  const body = Buffer.alloc(64);
  body.writeUInt32LE(7, 0);
  body.writeUInt32LE(31, 4);
  body.writeUInt32LE(maxWrite, 8);
  body.writeUInt32LE(maxPagesFlag, 12);
  body.writeUInt16LE(16, 16);
  body.writeUInt16LE(12, 18);
  body.writeUInt32LE(maxWrite, 20);
  body.writeUInt32LE(1, 24);
  body.writeUInt16LE(maxWrite / 4096, 28);
  return body;
}

/** A file or directory. */
export interface NodeStatus {
  readonly node: bigint;
  readonly size: bigint;
  readonly mode: number;
}

function encodeAttributes({ node, size, mode }: NodeStatus): Buffer {
  const body = Buffer.alloc(88);
  body.writeBigUInt64LE(node, 0);
  body.writeBigUInt64LE(size, 8);
  body.writeBigUInt64LE((size + 511n) / 512n, 16);
  body.writeUInt32LE(mode, 60);
  body.writeUInt32LE(1, 64);
  body.writeUInt32LE(4096, 80);
  return body;
}

/** The answer to GetAttr and SetAttr, valid for an hour. */
export function encodeStatus(status: NodeStatus): Buffer {
  const head = Buffer.alloc(16);
  head.writeBigUInt64LE(3600n, 0);
  return Buffer.concat([head, encodeAttributes(status)]);
}

/** The answer to Lookup, valid for an hour. */
export function encodeEntry(status: NodeStatus): Buffer {
  const head = Buffer.alloc(40);
  head.writeBigUInt64LE(status.node, 0);
  head.writeBigUInt64LE(3600n, 16);
  head.writeBigUInt64LE(3600n, 24);
  return Buffer.concat([head, encodeAttributes(status)]);
}

/** The answer to Open and OpenDir. @param direct whether the kernel shall cache nothing */
export function encodeOpened(direct: boolean): Buffer {
  const body = Buffer.alloc(16);
  body.writeUInt32LE(direct ? 1 : 0, 8);
  return body;
}

/** Of the bodies of Read and Write, which begin alike. */
export function parseTransfer(body: Buffer): { offset: number; size: number; data: Buffer } {
  const size = body.readUInt32LE(16);
  return { offset: Number(body.readBigUInt64LE(8)), size, data: body.subarray(40, 40 + size) };
}

/** The answer to Write. */
export function encodeWritten(size: number): Buffer {
  const body = Buffer.alloc(8);
  body.writeUInt32LE(size, 0);
  return body;
}
