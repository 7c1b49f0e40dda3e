import { expect, it } from "vitest";
import type { Column } from "./format.ts";
import { formatRows } from "./format.ts";
import { formatBytes, formatClock, formatSpan } from "./quantities.ts";

interface Row {
  id: string;
  size: bigint;
}

const columns: readonly Column<Row>[] = [
  { name: "ID", title: "ID", value: ({ id }) => id },
  { name: "Size", title: "SIZE", value: ({ size }) => size, text: ({ size }) => `${size} B` },
  { name: "Hidden", value: () => new Map([["a", "b"]]) },
];
const rows: readonly Row[] = [
  { id: "one", size: 1n },
  { id: "three", size: 2n ** 60n },
];

it("prints tables, JSON lines, templates, and one column alone", () => {
  expect(formatRows(rows, columns, {})).toBe("ID      SIZE\none     1 B\nthree   1152921504606846976 B\n");
  expect(formatRows(rows.slice(0, 1), columns, { json: true })).toBe('{"ID":"one","Size":1,"Hidden":{"a":"b"}}\n');
  expect(formatRows(rows, columns, { format: String.raw`{{.ID}}\t{{ .size }}!` })).toBe(
    "one\t1 B!\nthree\t1152921504606846976 B!\n",
  );
  expect(formatRows(rows, columns, { format: "{{json .}}" })).toContain('"Size":"1152921504606846976"');
  expect(formatRows(rows, columns, { quiet: true })).toBe("one\nthree\n");
});

it("names the fields when one is wrong", () => {
  expect(() => formatRows(rows, columns, { format: "{{.Id.x}}" })).toThrow('unknown field ".Id.x"');
  expect(() => formatRows(rows, columns, { format: "{{.ID" })).toThrow('"{{" without "}}"');
});

it("writes sizes and times for people", () => {
  expect([0, 1023, 1024, 1536 * 1024, 200 * 2 ** 30].map(formatBytes)).toEqual([
    "0 B",
    "1023 B",
    "1.0 KiB",
    "1.5 MiB",
    "200 GiB",
  ]);
  expect([500, 1000, 90_000, 7_200_000].map(formatSpan)).toEqual([
    "less than a second",
    "1 second",
    "1 minute",
    "2 hours",
  ]);
  expect([3, 65, 3700].map(formatClock)).toEqual(["3s", "1m05s", "1h01m"]);
});
