import { existsSync, globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { missingTests, securityRows } from "./security-table.ts";

const root = resolve(import.meta.dirname, "..");
const table = readFileSync(join(root, "docs/security.md"), "utf8");
const read = (file: string): string | undefined => {
  const path = join(root, "docs", file);
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
};

describe("docs/security.md", () => {
  it("names only tests that there are, each beginning with the id of its row", () => {
    expect(securityRows(table).length).toBeGreaterThan(30);
    expect(missingTests(table, read)).toEqual([]);
  });

  it("is found wrong when a test is renamed, a file is gone, an id is another's, or a row cannot be read", () => {
    const row = (id: string, file: string, name: string): string => `| ${id} | x | [a](${file}) \`${name}\` |`;
    const rows = [
      row("CVE-1-1", "a.test.ts", "CVE-1-1: it is here"),
      row("CVE-1-1", "a.test.ts", "CVE-1-1: it is her"),
      row("CVE-1-2", "gone.test.ts", "CVE-1-2: x"),
      row("CVE-1-3", "a.test.ts", "CVE-1-1: it is here"),
      "| CVE-1-4 | x | none |",
    ];
    const text = 'it("CVE-1-1: it is here", () => {});';
    expect(missingTests(rows.join("\n"), (file) => (file === "a.test.ts" ? text : undefined))).toEqual([
      'CVE-1-1: a.test.ts has no test "CVE-1-1: it is her"',
      "CVE-1-2: gone.test.ts is not there",
      'CVE-1-3: the name "CVE-1-1: it is here" does not begin with the id',
      "CVE-1-4: the row names no test",
    ]);
  });
});

it("JS-sync: only worker threads decompress synchronously", () => {
  // Runs in the workers of the differ and of conversions.
  const inWorkers = ["packages/archive/src/compression.ts"];
  const files = globSync("packages/*/src/**/*.ts", { cwd: root }).filter(
    (file) => !/\.test\.ts$|\.d\.ts$|^packages\/testkit\//.test(file),
  );
  expect(files.length).toBeGreaterThan(100);
  const found = files.filter((file) =>
    /\b(?:gunzip|unzip|inflate|inflateRaw|brotliDecompress|zstdDecompress)Sync\b/.test(
      readFileSync(join(root, file), "utf8"),
    ),
  );
  expect(found).toEqual(inWorkers);
});
