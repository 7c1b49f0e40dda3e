/** Records, before the first file, what the shared directories of the machine hold; zz-leaks compares. */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { machineState } from "./machine-state.ts";

declare module "vitest" {
  export interface ProvidedContext {
    machineBefore: string;
  }
}

export default function setup(project: TestProject): () => void {
  // In the name of every directory and namespace of this run: others may run the same tests on this machine.
  process.env["CTRD_E2E_RUN"] = randomBytes(3).toString("hex");
  const dir = mkdtempSync("/tmp/e2e-before-");
  const file = join(dir, "before.json");
  writeFileSync(file, JSON.stringify(machineState()));
  project.provide("machineBefore", file);
  return () => rmSync(dir, { recursive: true, force: true });
}
