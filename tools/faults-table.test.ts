/** docs/faults.md tells the truth: its tests are there, and its failpoints are those of the code. */
import { existsSync, globSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { missingTests, securityRows } from "./security-table.ts";

const root = resolve(import.meta.dirname, "..");
const document = readFileSync(join(root, "docs/faults.md"), "utf8");
const isRow = /^F\d+$/;
const read = (file: string): string | undefined => {
  const path = join(root, "docs", file);
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
};

/** Names in the code of the packages, tests and the documentation of failpoints themselves excepted. */
function failpointsOfCode(): string[] {
  const files = globSync("packages/*/src/**/*.ts", { cwd: root }).filter(
    (file) => !/\.test\.ts$|failpoints\.ts$/.test(file),
  );
  const names = files.flatMap((file) =>
    [...readFileSync(join(root, file), "utf8").matchAll(/failpoints\.(?:at|hit)\("([^"]+)"\)/g)].map(
      ([, name = ""]) => name,
    ),
  );
  return names.toSorted();
}

describe("docs/faults.md", () => {
  it("has a row for each fault to survive, and names only tests that there are", () => {
    const ids = new Set(securityRows(document, isRow).map(({ id }) => id));
    expect([...ids]).toEqual(["F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8"]);
    expect(missingTests(document, read, isRow)).toEqual([]);
  });

  it("lists the failpoints of the code, each of which is in one place", () => {
    const table = document.slice(document.indexOf("\n| point |"));
    const listed = [...table.matchAll(/^\| `([a-z.-]+)` \|/gm)].map(([, name = ""]) => name);
    expect(listed.length).toBeGreaterThan(30);
    expect(listed.toSorted()).toEqual(failpointsOfCode());
  });

  it("every failpoint is under the label that leaves it out of executables", () => {
    for (const file of globSync("packages/*/src/**/*.ts", { cwd: root })) {
      if (/\.test\.ts$|failpoints\.ts$/.test(file)) continue;
      for (const line of readFileSync(join(root, file), "utf8").split("\n")) {
        if (!/failpoints\.(?:at|hit|on)\b/.test(line)) continue;
        expect(line.trim(), file).toMatch(/^FAILPOINT: if \(failpoints\.on\) /);
      }
    }
  });
});
