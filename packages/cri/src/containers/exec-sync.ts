/**
 * ExecSync: a program's output in one answer. Memory and time are bounded, whatever the program leaves behind.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { ExecSyncRequest, ExecSyncResponse } from "@ctrd/api/cri/runtime/v1/api";
import type { ExecProcess, OutputReader, ProcessExit } from "@ctrd/client";
import { streams } from "@ctrd/client";
import type { CallContext } from "@ctrd/core/context";
import { deadlineExceeded, isKind } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import { millisOf } from "../config/fields.ts";
import type { OutputListener, OutputName } from "../logs/index.ts";
import type { Cri } from "../store/cri.ts";
import { makeExec } from "./exec.ts";

/** Bytes kept of each stream. */
const maxOutput = 16 << 20;
/** Bytes of both in an answer: clients take messages of 16 MiB, and what is more would be none at all. */
const maxAnswer = maxOutput - 1024;
/** How long output of what the program has left behind is taken, when the configuration does not say. */
const maxDrainMs = 10_000;

/** Runs a program to its end. */
export async function execSync(cri: Cri, ctx: CallContext, request: ExecSyncRequest): Promise<ExecSyncResponse> {
  const container = cri.containers.get(request.containerId);
  const output = new KeptOutput();
  // Read in the thread of the logs: gigabytes that are thrown away hold up no call.
  const outputs: OutputReader = {
    open: ({ stdout, stderr }) =>
      cri.logs.open({ stdout, stderr, target: undefined, watched: true, limit: maxOutput }, output.listener(cri.log)),
  };
  const io = streams({ stdin: false, outputs });
  const process = await makeExec(cri, ctx, container, { cmd: request.cmd, tty: false, io });
  try {
    await process.start({ signal: ctx.signal, span: ctx.span, operation: ctx.operation });
    const { exitCode } = await endOf(process, ctx, Number(request.timeout));
    await drain(process, millisOf(cri.config.drain_exec_sync_io_timeout, 0));
    return { ...fitting(output.take("stdout"), output.take("stderr")), exitCode };
  } finally {
    await process[Symbol.asyncDispose]();
  }
}

/** The beginning of both, as much as an answer holds; neither takes the place of the other. */
function fitting(stdout: Buffer, stderr: Buffer): { stdout: Buffer; stderr: Buffer } {
  const errors = stderr.subarray(0, Math.max(maxAnswer - stdout.length, maxAnswer / 2));
  return { stdout: stdout.subarray(0, maxAnswer - errors.length), stderr: errors };
}

/** Waits for the end; kills the program when it takes too long, or nobody waits any more. */
async function endOf(process: ExecProcess, ctx: CallContext, timeoutSeconds: number): Promise<ProcessExit> {
  const timeout = timeoutSeconds > 0 ? AbortSignal.timeout(timeoutSeconds * 1000) : undefined;
  const signal = timeout === undefined ? ctx.signal : AbortSignal.any([ctx.signal, timeout]);
  try {
    return await process.wait({ signal });
  } catch (error) {
    if (!signal.aborted) throw error;
    try {
      await process.kill("SIGKILL");
    } catch (failure) {
      if (!isKind(failure, "not-found") && !isKind(failure, "failed-precondition")) throw failure;
    }
    await process.wait();
    process.detach();
    if (timeout?.aborted === true && !ctx.signal.aborted) {
      throw deadlineExceeded(`exec in container "${process.containerId}": timeout ${timeoutSeconds}s exceeded`);
    }
    throw error;
  }
}

/** Takes the rest of the output. A process that was left behind may hold the pipe for ever. */
async function drain(process: ExecProcess, drainMs: number): Promise<void> {
  const looking = new AbortController();
  const limit = sleep(drainMs === 0 ? maxDrainMs : drainMs, "late" as const, { signal: looking.signal, ref: false });
  // Deleting it takes the output until it ends, or is quiet for a while.
  const taken = drainMs === 0 ? process.delete() : process.output();
  taken.catch(() => {});
  try {
    const outcome = await Promise.race([taken, limit]);
    if (outcome !== "late") return;
  } finally {
    looking.abort();
    limit.catch(() => {});
  }
  process.detach();
  if (drainMs === 0) await taken;
  else {
    throw deadlineExceeded(
      `exec in container "${process.containerId}": output not complete ${drainMs} ms after the end of the program, ` +
        "another process holds it (drain_exec_sync_io_timeout)",
    );
  }
}

/** What a program has said. */
class KeptOutput {
  readonly #chunks: Record<OutputName, Buffer[]> = { stdout: [], stderr: [] };

  listener(log: Logger): OutputListener {
    return { log, output: async (name, chunk) => void this.#chunks[name].push(chunk) };
  }

  take(name: OutputName): Buffer {
    return Buffer.concat(this.#chunks[name].splice(0));
  }
}
