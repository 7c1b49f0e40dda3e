/**
 * The tables that HPACK's indexes mean (RFC 7541, section 2.3 and appendix A).
 *
 * @module
 */

/** A header: a name in lower case, and a value. */
export interface Header {
  readonly name: string;
  readonly value: string;
}

const statuses = ["200", "204", "206", "304", "400", "404", "500"];
const namesOnly =
  "accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control " +
  "content-disposition content-encoding content-language content-length content-location content-range content-type " +
  "cookie date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since " +
  "last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after " +
  "server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate";

const staticTable: readonly Header[] = [
  { name: ":authority", value: "" },
  { name: ":method", value: "GET" },
  { name: ":method", value: "POST" },
  { name: ":path", value: "/" },
  { name: ":path", value: "/index.html" },
  { name: ":scheme", value: "http" },
  { name: ":scheme", value: "https" },
  ...statuses.map((value) => ({ name: ":status", value })),
  { name: "accept-charset", value: "" },
  { name: "accept-encoding", value: "gzip, deflate" },
  ...namesOnly.split(" ").map((name) => ({ name, value: "" })),
];

/** What an entry counts beside its characters. */
const entryOverhead = 32;

/** Size of a header as HTTP/2 counts it, in bytes. */
export function headerSize(header: Header): number {
  return header.name.length + header.value.length + entryOverhead;
}

/** The fixed entries, and those that the peer has added on this connection. */
export class HeaderTable {
  /** The newest is last. */
  readonly #entries: Header[] = [];
  #size = 0;
  #maxSize: number;

  constructor(maxSize: number) {
    this.#maxSize = maxSize;
  }

  /** The entry of an index, which begins at 1. */
  get(index: number): Header | undefined {
    if (index <= staticTable.length) return staticTable[index - 1];
    return this.#entries[this.#entries.length - (index - staticTable.length)];
  }

  /** Adds an entry; the oldest make room. One that is too large empties the table. */
  add(header: Header): void {
    this.#size += headerSize(header);
    this.#entries.push(header);
    this.#evict();
  }

  resize(maxSize: number): void {
    this.#maxSize = maxSize;
    this.#evict();
  }

  #evict(): void {
    let count = 0;
    for (const entry of this.#entries) {
      if (this.#size <= this.#maxSize) break;
      this.#size -= headerSize(entry);
      count++;
    }
    if (count > 0) this.#entries.splice(0, count);
  }
}
