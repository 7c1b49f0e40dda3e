/**
 * Numbers in tar headers.
 *
 * @module
 */
import { invalidArchive } from "./invalid-archive.ts";

/**
 * A number field: octal text, or base-256 when the first bit is set (GNU). Blank is 0.
 *
 * @throws ContainerdError `invalid-argument` when it is neither, or beyond what a number holds exactly
 */
export function readNumber(block: Buffer, start: number, length: number, field: string): number {
  if (((block[start] ?? 0) & 0x80) !== 0) return readBase256(block, start, length, field);
  let at = start;
  let end = start + length;
  while (at < end && isBlank(block[at])) at++;
  while (end > at && isBlank(block[end - 1])) end--;
  let value = 0;
  for (; at < end; at++) {
    const digit = (block[at] ?? 0) - 0x30;
    // What follows a NUL is not part of the number.
    if (block[at] === 0) break;
    if (digit < 0 || digit > 7) throw invalidArchive(`${field} is not an octal number`);
    value = value * 8 + digit;
  }
  return checkSafe(value, field);
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0;
}

function readBase256(block: Buffer, start: number, length: number, field: string): number {
  const negative = ((block[start] ?? 0) & 0x40) !== 0;
  // The first byte holds the marker bit, the sign and six bits of the value, in two's complement.
  const first = block[start] ?? 0;
  let value = negative ? first - 256 : first & 0x3f;
  for (let index = 1; index < length; index++) value = checkSafe(value * 256 + (block[start + index] ?? 0), field);
  return value;
}

/** A decimal integer of a PAX record. */
export function parseDecimal(text: string, field: string): number {
  if (!/^-?\d{1,19}$/.test(text)) throw invalidArchive(`${field} "${text}" is not a decimal number`);
  return checkSafe(Number(text), field);
}

function checkSafe(value: number, field: string): number {
  if (!Number.isSafeInteger(value)) throw invalidArchive(`${field} is too large`);
  return value;
}
