/**
 * How far a container has come, in a file beside its logs: exit codes survive a restart of the daemon.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { LinuxContainerResources } from "@ctrd/api/cri/runtime/v1/api";
import { errnoOf } from "@ctrd/core/errors";
import { writeFileDurably } from "../store/durable-file.ts";

/** Times are nanoseconds since the epoch; 0: not yet. */
export interface StoredStatus {
  readonly pid: number;
  readonly createdAt: bigint;
  readonly startedAt: bigint;
  readonly finishedAt: bigint;
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
  readonly resources: LinuxContainerResources | undefined;
}

/** Writes the status into the container's directory. */
export async function writeStatus(directory: string, status: StoredStatus): Promise<void> {
  const { resources } = status;
  const text = JSON.stringify({
    Version: "v1",
    Status: {
      Pid: status.pid,
      CreatedAt: status.createdAt.toString(),
      StartedAt: status.startedAt.toString(),
      FinishedAt: status.finishedAt.toString(),
      ExitCode: status.exitCode,
      Reason: status.reason,
      Message: status.message,
      Resources:
        resources === undefined
          ? null
          : Buffer.from(LinuxContainerResources.encode(resources).finish()).toString("base64"),
    },
  });
  await writeFileDurably(fileOf(directory), text);
}

interface Stored {
  Status: {
    Pid: number;
    CreatedAt: string;
    StartedAt: string;
    FinishedAt: string;
    ExitCode: number;
    Reason: string;
    Message: string;
    Resources: string | null;
  };
}

/** Reads the status; undefined when there is none. */
export async function readStatus(directory: string): Promise<StoredStatus | undefined> {
  let text: string;
  try {
    text = await readFile(fileOf(directory), "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  const { Status: stored } = JSON.parse(text) as Stored;
  return {
    pid: stored.Pid,
    createdAt: BigInt(stored.CreatedAt),
    startedAt: BigInt(stored.StartedAt),
    finishedAt: BigInt(stored.FinishedAt),
    exitCode: stored.ExitCode,
    reason: stored.Reason,
    message: stored.Message,
    resources:
      stored.Resources === null ? undefined : LinuxContainerResources.decode(Buffer.from(stored.Resources, "base64")),
  };
}

function fileOf(directory: string): string {
  return join(directory, "status");
}
