import { applyLayer, writeDiff } from "@ctrd/archive";
import { kindOf, messageOf } from "@ctrd/core/errors";
import { closeSync, mkdtempSync, openSync, rmdirSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import type { ArchiveOutcome, ArchiveTask } from "./archive-worker-client.ts";

async function run({ operation, path, directory }: ArchiveTask): Promise<void> {
  if (operation === "unpack") await applyLayer({ path, root: directory });
  else await pack(path, directory);
}

/** A tar of the whole directory is its difference from an empty one. */
async function pack(path: string, directory: string): Promise<void> {
  const empty = mkdtempSync(join(dirname(path), "empty-"));
  const file = openSync(path, "wx", 0o600);
  try {
    await writeDiff({ lower: empty, upper: directory, compression: "none" }, (chunk) => writeAll(file, chunk));
  } finally {
    closeSync(file);
    rmdirSync(empty);
  }
}

function writeAll(file: number, chunk: Uint8Array): void {
  for (let at = 0; at < chunk.length;) at += writeSync(file, chunk, at);
}

let outcome: ArchiveOutcome;
try {
  await run(workerData as ArchiveTask);
  outcome = { ok: true };
} catch (error) {
  outcome = { ok: false, kind: kindOf(error), message: messageOf(error) };
}
parentPort?.postMessage(outcome);
