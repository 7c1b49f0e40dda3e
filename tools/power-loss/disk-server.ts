/**
 * `disk-server.ts DIRECTORY BACKING LOG SIZE`: mounts a file system on DIRECTORY with the file `disk` of SIZE bytes,
 * kept in BACKING, and the file `mark`. Every write to `disk` and every flush of it is put down in LOG, and so is what is
 * written to `mark`. It is a process of its own, as one that serves a file system must not wait for it. Ends when
 * unmounted.
 */
import { closeSync, openSync, readSync, ftruncateSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { hasErrno, mount } from "@ctrd/sys";
import type { FuseRequest, NodeStatus } from "./fuse-protocol.ts";
import {
  encodeAnswer,
  encodeEntry,
  encodeInit,
  encodeOpened,
  encodeStatus,
  encodeWritten,
  largestRequest,
  Operation,
  parseRequest,
  parseTransfer,
} from "./fuse-protocol.ts";
import { LogWriter } from "./write-log.ts";

const [directory = "", backing = "", logPath = "", sizeText = ""] = process.argv.slice(2);
const size = Number(sizeText);
const disk = openSync(backing, "wx+", 0o600);
ftruncateSync(disk, size);
const log = new LogWriter(logPath);

const nodes: Readonly<Record<string, NodeStatus>> = {
  "": { node: 1n, size: 0n, mode: 0o040700 },
  disk: { node: 2n, size: BigInt(size), mode: 0o100600 },
  mark: { node: 3n, size: 0n, mode: 0o100600 },
};

/** Undefined for what has no answer. @returns errno and body */
function answer({ operation, node, body }: FuseRequest): { errno?: number; body?: Uint8Array } | undefined {
  const status = Object.values(nodes).find((one) => one.node === node);
  switch (operation) {
    case Operation.Init:
      return { body: encodeInit() };
    case Operation.Lookup: {
      const found = nodes[body.subarray(0, -1).toString()];
      return found === undefined ? { errno: constants.errno.ENOENT } : { body: encodeEntry(found) };
    }
    case Operation.GetAttr:
    case Operation.SetAttr:
      return status === undefined ? { errno: constants.errno.ENOENT } : { body: encodeStatus(status) };
    case Operation.Open:
    case Operation.OpenDir:
      return { body: encodeOpened(node === 3n) };
    case Operation.Read:
      return { body: read(node, body) };
    case Operation.Write:
      return write(node, body);
    case Operation.Fsync:
      if (node === 2n) log.append("flush");
      return {};
    case Operation.ReadDir:
    case Operation.Release:
    case Operation.ReleaseDir:
    case Operation.Flush:
    case Operation.Destroy:
      return {};
    case Operation.StatFs:
      return { body: Buffer.alloc(80) };
    case Operation.Forget:
    case Operation.BatchForget:
    case Operation.Interrupt:
      return undefined;
    default:
      return { errno: constants.errno.ENOSYS };
  }
}

function read(node: bigint, body: Buffer): Uint8Array {
  const { offset, size: wanted } = parseTransfer(body);
  if (node !== 2n) return new Uint8Array(0);
  const data = Buffer.alloc(wanted);
  return data.subarray(0, readSync(disk, data, 0, wanted, offset));
}

function write(node: bigint, body: Buffer): { errno?: number; body?: Uint8Array } {
  const { offset, data } = parseTransfer(body);
  if (node === 3n) log.append("mark", 0, data);
  else {
    log.append("write", offset, data);
    for (let done = 0; done < data.length;) done += writeSync(disk, data, done, data.length - done, offset + done);
  }
  return { body: encodeWritten(data.length) };
}

function serve(fd: number): void {
  const buffer = Buffer.alloc(largestRequest);
  for (;;) {
    let length: number;
    try {
      length = readSync(fd, buffer);
    } catch (error) {
      if (hasErrno(error, "ENODEV")) return;
      if (hasErrno(error, "EINTR", "EAGAIN", "ENOENT")) continue;
      throw error;
    }
    const request = parseRequest(buffer.subarray(0, length));
    const result = answer(request);
    if (result === undefined) continue;
    writeSync(fd, encodeAnswer(request.unique, result.errno ?? 0, result.body));
  }
}

const fuse = openSync("/dev/fuse", "r+");
mount("power-loss", directory, "fuse", 0, `fd=${fuse},rootmode=40000,user_id=0,group_id=0`);
process.stdout.write("mounted\n");
serve(fuse);
closeSync(fuse);
