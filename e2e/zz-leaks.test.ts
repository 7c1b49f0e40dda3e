/** Shows 7: after the whole suite the machine is as it was before. */
import { readFileSync } from "node:fs";
import { expect, inject, test } from "vitest";
import { leftMounts, leftProcesses } from "./support/leaks.ts";
import { machineState, runName } from "./support/machine-state.ts";

/** Other test runs may be at work on a developer's machine; in CI nothing else is. */
const alone = process.env["CI"] === "true";

test("7: no mount, process or file of any test daemon is left", () => {
  expect(leftMounts(`/ctrd-${runName()}-`)).toEqual([]);
  expect(leftProcesses([`/ctrd-${runName()}-`, `-namespace ${runName()}-`])).toEqual([]);
});

test(`7: no cgroup, network namespace, socket, FIFO or directory is left${alone ? "" : " (names of the tests only)"}`, () => {
  const before = new Set(JSON.parse(readFileSync(inject("machineBefore"), "utf8")) as string[]);
  const come = machineState().filter((path) => !before.has(path));
  expect(come.filter((path) => alone || path.includes(runName()))).toEqual([]);
});
