import { applyLayer } from "@ctrd/archive";
import { kindOf, messageOf } from "@ctrd/core/errors";
import { parentPort, workerData } from "node:worker_threads";
import type { ArchiveOutcome, ArchiveTask } from "./archive-worker-client.ts";

async function run({ operation, path, directory }: ArchiveTask): Promise<void> {
  if (operation === "unpack") await applyLayer({ path, root: directory });
}

let outcome: ArchiveOutcome;
try {
  await run(workerData as ArchiveTask);
  outcome = { ok: true };
} catch (error) {
  outcome = { ok: false, kind: kindOf(error), message: messageOf(error) };
}
parentPort?.postMessage(outcome);
