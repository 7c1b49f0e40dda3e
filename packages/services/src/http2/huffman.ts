/**
 * Reads strings in HPACK's Huffman code (RFC 7541, appendix B).
 *
 * @module
 */

/** Bits of the code of each byte. The code is canonical: shorter codes first, equal ones in the order of their bytes. */
const bitLengths = [
  [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28,
  ],
  [6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10],
  [13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6],
  [15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28],
  [
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22,
    23, 23, 24,
  ],
  [
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23,
    22, 22, 23,
  ],
  [
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27,
  ],
  [
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26,
  ],
].flat();

/** The mark that ends nothing: it may only be seen in part, as padding. */
const endMark = 256;
const endMarkBits = 30;

/**
 * The code as a binary tree: two entries for each node, one for each bit. An entry above 0 is the next node, one below
 * is the complement of a symbol.
 */
const tree = codeTree();

function codeTree(): Int16Array {
  const entries = new Int16Array(2 * 512);
  let nodes = 1;
  const insert = (symbol: number, code: number, bits: number): void => {
    let node = 0;
    for (let bit = bits - 1; bit > 0; bit--) {
      const at = 2 * node + ((code >>> bit) & 1);
      if (entries[at] === 0) entries[at] = nodes++;
      node = entries[at] ?? 0;
    }
    entries[2 * node + (code & 1)] = ~symbol;
  };
  const symbols = bitLengths.map((bits, symbol) => ({ bits, symbol }));
  symbols.push({ bits: endMarkBits, symbol: endMark });
  symbols.sort((a, b) => a.bits - b.bits || a.symbol - b.symbol);
  let code = 0;
  let width = 0;
  for (const { bits, symbol } of symbols) {
    code *= 2 ** (bits - width);
    width = bits;
    insert(symbol, code, bits);
    code++;
  }
  return entries;
}

/**
 * Decodes a string into Latin-1 text, one character a byte.
 *
 * @returns undefined when it is malformed: it holds the end mark, or its padding is too long or not of ones
 */
export function decodeHuffman(bytes: Buffer, start: number, end: number): string | undefined {
  const text: number[] = [];
  let node = 0;
  /** Bits since the last symbol, and whether all of them were ones. */
  let pending = 0;
  let ones = true;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    for (let bit = 7; bit >= 0; bit--) {
      const value = (byte >>> bit) & 1;
      const next = tree[2 * node + value] ?? 0;
      pending++;
      ones &&= value === 1;
      if (next >= 0) {
        node = next;
        continue;
      }
      if (~next === endMark) return undefined;
      text.push(~next);
      node = 0;
      pending = 0;
      ones = true;
    }
  }
  return pending > 7 || !ones ? undefined : String.fromCharCode(...text);
}
