/**
 * Byte strings: names as the kernel sees them, one character for each byte (latin1). ASCII names, nearly all, need no
 * conversion; the others lose nothing.
 *
 * @module
 */
import type { PathLike } from "@ctrd/sys";

const beyondAscii = /[\x80-\xff]/;

/** For system calls. */
export function toPath(bytes: string): PathLike {
  return beyondAscii.test(bytes) ? Buffer.from(bytes, "latin1") : bytes;
}

/** For messages. */
export function toText(bytes: string): string {
  return beyondAscii.test(bytes) ? Buffer.from(bytes, "latin1").toString() : bytes;
}
