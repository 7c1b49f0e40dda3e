/**
 * The end of an eStargz layer: a gzip member without data, which says where the table of contents is.
 *
 * @module
 */

const magic = "STARGZ";

/** 51 bytes. @param tocOffset where the member of the table begins in the layer */
export function formatFooter(tocOffset: number): Buffer {
  const field = Buffer.from(`${tocOffset.toString(16).padStart(16, "0")}${magic}`, "latin1");
  // RFC 1952: magic, deflate, a flag for the extra field, no time, no hints, unknown system.
  const head = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff];
  const extra = Buffer.alloc(6);
  extra.writeUInt16LE(field.length + 4, 0);
  extra.write("SG", 2, "latin1");
  extra.writeUInt16LE(field.length, 4);
  // One stored block, the last, of no bytes; then checksum and size, both 0.
  const empty = [1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
  return Buffer.concat([Buffer.from(head), extra, field, Buffer.from(empty)]);
}
