/**
 * The hashing thread: it follows files as they grow and hashes what has come. It reads the bytes back from the page
 * cache, so nothing is copied between threads, and the writer need not wait for the hash until it asks for it.
 *
 * @module
 */
import type { Hash } from "node:crypto";
import { createHash } from "node:crypto";
import { readSync } from "node:fs";
import { parentPort } from "node:worker_threads";

/** What the main thread asks. `seq` is set where a {@link HashReply} is wanted. */
export type HashRequest =
  | { do: "follow"; id: number; fd: number; algorithm: string }
  | { do: "advance"; id: number; to: number }
  | { do: "rewind"; id: number }
  | { do: "digest"; id: number; seq: number }
  | { do: "release"; id: number; seq: number };

/** The answer to the request `seq`; `hex` is empty for a release. */
export type HashReply = { seq: number; hex: string } | { seq: number; error: unknown };

interface Followed {
  fd: number;
  algorithm: string;
  hash: Hash;
  /** Bytes hashed. */
  position: number;
  /** Bytes there are. */
  target: number;
  error: unknown;
  /** Requests that wait for `position` to reach `target`. */
  waiting: number[];
}

const chunk = Buffer.allocUnsafeSlow(512 * 1024);
const followed = new Map<number, Followed>();
let scheduled = false;

const port = parentPort;
if (port === null) throw new Error("hash-worker runs in a worker thread only");

function reply(message: HashReply): void {
  port?.postMessage(message);
}

function answerWaiting(file: Followed): void {
  for (const seq of file.waiting.splice(0)) {
    if (file.error !== undefined) reply({ seq, error: file.error });
    else reply({ seq, hex: file.hash.copy().digest("hex") });
  }
}

function hashSome(file: Followed): void {
  try {
    const wanted = Math.min(chunk.length, file.target - file.position);
    const length = readSync(file.fd, chunk, 0, wanted, file.position);
    if (length === 0) throw new Error(`file ends at ${file.position} bytes, ${file.target} were written`);
    file.hash.update(chunk.subarray(0, length));
    file.position += length;
  } catch (error) {
    file.error = error;
  }
}

/** One chunk of every file in turn, so that a large file does not hold up a small one. */
function turn(): void {
  scheduled = false;
  for (const file of followed.values()) {
    if (file.error === undefined && file.position < file.target) hashSome(file);
    if (file.error === undefined && file.position < file.target) schedule();
    else answerWaiting(file);
  }
}

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  setImmediate(turn);
}

function handle(request: HashRequest): void {
  if (request.do === "follow") {
    const { fd, algorithm } = request;
    const fresh = { hash: createHash(algorithm), position: 0, target: 0, error: undefined, waiting: [] };
    followed.set(request.id, { fd, algorithm, ...fresh });
    return;
  }
  const file = followed.get(request.id);
  if (file === undefined) throw new Error(`hash-worker: unknown file ${request.id}`);
  switch (request.do) {
    case "advance":
      file.target = request.to;
      schedule();
      break;
    case "rewind":
      Object.assign(file, { hash: createHash(file.algorithm), position: 0, target: 0, error: undefined });
      break;
    case "digest":
      file.waiting.push(request.seq);
      if (file.position < file.target && file.error === undefined) schedule();
      else answerWaiting(file);
      break;
    case "release":
      followed.delete(request.id);
      reply({ seq: request.seq, hex: "" });
      break;
  }
}

port.on("message", handle);
