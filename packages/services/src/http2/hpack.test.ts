// The examples of RFC 7541, appendix C, and what is malformed.
import { describe, expect, it } from "vitest";
import { encodeHeaders, HeaderDecoder } from "./hpack.ts";

const decoder = (limit = 64 << 10): HeaderDecoder => new HeaderDecoder(limit);
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const list = (from: HeaderDecoder, block: string): string[] =>
  from.decode(hex(block)).map(({ name, value }) => `${name}: ${value}`);

const first = [":method: GET", ":scheme: http", ":path: /", ":authority: www.example.com"];
const third = [":method: GET", ":scheme: https", ":path: /index.html", ":authority: www.example.com"];

describe("the header decoder", () => {
  it("reads literals and indexes, and keeps a table (C.3)", () => {
    const requests = decoder();
    expect(list(requests, "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d")).toEqual(first);
    expect(list(requests, "8286 84be 5808 6e6f 2d63 6163 6865")).toEqual([...first, "cache-control: no-cache"]);
    expect(list(requests, "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65")).toEqual([
      ...third,
      "custom-key: custom-value",
    ]);
  });

  it("reads the Huffman code (C.4)", () => {
    const requests = decoder();
    expect(list(requests, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff")).toEqual(first);
    expect(list(requests, "8286 84be 5886 a8eb 1064 9cbf")).toEqual([...first, "cache-control: no-cache"]);
    expect(list(requests, "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf")).toEqual([
      ...third,
      "custom-key: custom-value",
    ]);
  });

  it("removes the oldest entries when the table is full, and all when it is made empty", () => {
    const requests = decoder();
    const added = (value: number): Buffer =>
      Buffer.concat([Buffer.from([0x40, 1, 0x61, 0x7f, 0x81, 0x0f]), Buffer.alloc(2048, value)]);
    // 2048 + 1 + 32 bytes each: two do not fit into 4096.
    requests.decode(added(0x62));
    requests.decode(added(0x63));
    expect(requests.decode(hex("be"))[0]?.value[0]).toBe("c");
    expect(() => requests.decode(hex("bf"))).toThrow(/no entry 63/);
    requests.decode(hex("20"));
    expect(() => requests.decode(hex("be"))).toThrow(/no entry 62/);
  });

  it.each([
    ["an index of 0", "80", /no entry 0/],
    ["an index that nothing has", "be", /no entry 62/],
    ["a string that ends early", "4003 61", /longer than its block/],
    ["a header that ends early", "40", /ends early/],
    ["an integer without an end", "ffff ffff ffff ffff ff0f", /integer is too large/],
    ["a table that is too large", "3fe1 ff03", /larger than 4096/],
    ["a change of the table's size behind a header", "8220", /not at the beginning/],
    ["padding of zeros", "0085 f1e3 c2e5 0000", /Huffman/],
    ["padding of more than 7 bits", "0082 1fff 00", /Huffman/],
    ["the end mark", "0084 ffff ffff 00", /Huffman/],
  ])("refuses %s", (_what, block, message) => {
    expect(() => decoder().decode(hex(block))).toThrow(message);
  });

  it("refuses more than the limit, before it has put it together", () => {
    // One byte for each of the entries of 4 kB: 1 kB would become 4 MB.
    const bomb = Buffer.concat([Buffer.from([0x40, 1, 0x61, 0x7f, 0xa1, 0x1e]), Buffer.alloc(4000, 0x62)]);
    const small = decoder();
    small.decode(bomb);
    expect(() => small.decode(Buffer.alloc(1000, 0xbe))).toThrow(/more than 65536 bytes/);
  });
});

describe("encodeHeaders", () => {
  it("writes what the decoder reads, long values too", () => {
    const headers = [
      [":status", "200"],
      ["grpc-message", "x".repeat(300)],
      ["empty", ""],
    ] as const;
    const read = decoder().decode(encodeHeaders(headers));
    expect(read.map(({ name, value }) => [name, value])).toEqual(headers);
  });
});
