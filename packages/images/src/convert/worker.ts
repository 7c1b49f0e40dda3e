/**
 * The worker thread's entry: converts one layer after the other.
 *
 * @module
 */
import { parentPort } from "node:worker_threads";
import { kindOf, messageOf } from "@ctrd/core/errors";
import { writeEstargz } from "../estargz/write-estargz.ts";
import { decompressed } from "./decompress.ts";
import type { ReadAt } from "./input.ts";
import { readPieces, withFile } from "./input.ts";
import type { ConvertedLayer, ConvertJob, FromWorker, ToWorker } from "./jobs.ts";
import { BlockWriter } from "./output.ts";
import { recompress } from "./recompress.ts";

/** Blocks sent and not yet received: enough to keep both sides busy. */
const maxUnreceived = 4;

if (parentPort === null) throw new Error("the converter's worker was started as a program");
const port = parentPort;

let unreceived = 0;
let onReceived: (() => void) | undefined;
const asked = new Map<number, (data: Buffer) => void>();

port.on("message", (message: ToWorker) => {
  if (message.type === "job") void runJob(message.job);
  else if (message.type === "input") {
    const { data } = message;
    asked.get(message.offset)?.(Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    asked.delete(message.offset);
  } else {
    unreceived--;
    onReceived?.();
    onReceived = undefined;
  }
});

function send(message: FromWorker, transfer: readonly ArrayBuffer[] = []): void {
  port.postMessage(message, [...transfer]);
}

async function runJob(job: ConvertJob): Promise<void> {
  try {
    const { path } = job;
    const result =
      path === undefined ? await convert(job, askForBytes) : await withFile(path, (read) => convert(job, read));
    send({ type: "done", result });
  } catch (error) {
    send({ type: "failed", kind: kindOf(error), message: messageOf(error) });
  }
}

async function convert(job: ConvertJob, read: ReadAt): Promise<ConvertedLayer> {
  const output = new BlockWriter(sendBlock);
  const open = (): AsyncGenerator<Buffer> => decompressed(reported(readPieces(read, job.size)));
  const { format, level, prefetch } = job;
  const result =
    format === "estargz"
      ? await writeEstargz(open, { level, prefetch }, output)
      : await recompress(open(), format, level, output);
  await output.flush();
  return result;
}

async function* reported(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let offset = 0;
  for await (const piece of source) {
    yield piece;
    offset += piece.length;
    send({ type: "progress", offset });
  }
}

const askForBytes: ReadAt = (offset, length) =>
  new Promise((resolve) => {
    asked.set(offset, resolve);
    send({ type: "read", offset, length });
  });

async function sendBlock(data: Uint8Array<ArrayBuffer>): Promise<void> {
  unreceived++;
  send({ type: "chunk", data }, [data.buffer]);
  while (unreceived >= maxUnreceived) await new Promise<void>((resolve) => (onReceived = resolve));
}
