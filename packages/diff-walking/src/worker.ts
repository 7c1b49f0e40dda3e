/**
 * The worker thread's entry: runs one job after the other.
 *
 * @module
 */
import { parentPort } from "node:worker_threads";
import { kindOf, messageOf } from "@ctrd/core/errors";
import type { FromWorker, Job, JobResults, ToWorker } from "./jobs.ts";
import type { JobChannel } from "./run-job.ts";
import { runApply, runCompare } from "./run-job.ts";

/** Chunks sent and not yet received: enough to keep both sides busy. */
const maxUnreceived = 4;
/** Bytes between two reports of progress. */
const progressStep = 256 << 20;

if (parentPort === null) throw new Error("the differ's worker was started as a program");
const port = parentPort;

let unreceived = 0;
let onReceived: (() => void) | undefined;

port.on("message", (message: ToWorker) => {
  if (message.type === "received") {
    unreceived--;
    onReceived?.();
    onReceived = undefined;
  } else if (message.type === "stop") port.close();
  else void runJob(message.job, message.canceled);
});

function send(message: FromWorker, transfer: readonly ArrayBuffer[] = []): void {
  port.postMessage(message, [...transfer]);
}

async function runJob(job: Job, canceled: Int32Array): Promise<void> {
  const channel = openChannel(canceled);
  try {
    const result: JobResults[keyof JobResults] =
      job.kind === "apply" ? await runApply(job, channel) : await runCompare(job, channel);
    send({ type: "done", result });
  } catch (error) {
    send({ type: "failed", kind: kindOf(error), message: messageOf(error) });
  }
}

function openChannel(canceled: Int32Array): JobChannel {
  let reported = 0;
  return {
    isCanceled: () => Atomics.load(canceled, 0) !== 0,
    warn: (message) => send({ type: "warning", message }),
    progress(size) {
      if (size - reported < progressStep) return;
      reported = size;
      send({ type: "progress", size });
    },
    async chunk(chunk) {
      // A copy: the compressor goes on using the memory behind its chunks.
      const data = new Uint8Array(chunk);
      unreceived++;
      send({ type: "chunk", data }, [data.buffer]);
      while (unreceived >= maxUnreceived) await new Promise<void>((resolve) => (onReceived = resolve));
    },
  };
}
