/**
 * Content that goes on from where it broke off.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { CallContext } from "@ctrd/core/context";
import { ContainerdError, dataLoss, isKind, kindOf, messageOf, unavailable } from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import type { Descriptor } from "@ctrd/core/records";
import type { ByteRange } from "@ctrd/core/remotes";
import type { OpenContent, OpenRange } from "./open-range.ts";

/** How often a transfer may break without a byte in between. */
const maxResumes = 5;
const firstPauseMs = 100;
const longestPauseMs = 1_000;

/** Reads a range as one stream, which `first` has begun; when it breaks, it is opened again where it ended. */
export async function* readOn(
  ctx: CallContext,
  descriptor: Descriptor,
  range: ByteRange,
  first: OpenRange,
  open: OpenContent,
): AsyncGenerator<Uint8Array> {
  const end = range.length === undefined ? descriptor.size : range.offset + range.length;
  let at = first.offset;
  let current = first;
  let failures = 0;
  for (;;) {
    const source = current;
    try {
      // Bytes before `at` come again from a server without ranges.
      let position = source.offset;
      for await (const chunk of source.body) {
        FAILPOINT: if (failpoints.on) await failpoints.at("registry.read");
        const skip = at > position ? Number(at - position) : 0;
        position += BigInt(chunk.length);
        if (skip >= chunk.length) continue;
        let fresh = chunk.subarray(skip);
        if (at + BigInt(fresh.length) > end) {
          // A server without ranges goes on behind the range.
          if (range.length === undefined || source.isPart) throw tooMuch(descriptor, end);
          fresh = fresh.subarray(0, Number(end - at));
        }
        at += BigInt(fresh.length);
        failures = 0;
        if (fresh.length > 0) yield fresh;
        if (at >= end && range.length !== undefined && !source.isPart) return;
      }
      if (at >= end) return;
      throw unavailable(`fetch ${descriptor.digest}: ${source.served.host} ends after ${at} of ${end} bytes`);
    } catch (error) {
      if (ctx.signal.aborted) throw error;
      if (isKind(error, "data-loss") || ++failures > maxResumes) throw broken(descriptor, source, at, error);
      ctx.log.debug({ digest: descriptor.digest, at, err: messageOf(error) }, "fetch broke off, resuming");
      await sleep(Math.min(longestPauseMs, firstPauseMs * 2 ** failures), undefined, { signal: ctx.signal });
      current = await open(at, range.length === undefined ? undefined : end - at);
    } finally {
      // Also when the consumer leaves at a yield.
      if (at < end) source.cancel();
    }
  }
}

function tooMuch(descriptor: Descriptor, end: bigint): Error {
  return dataLoss(`fetch ${descriptor.digest}: more than its ${end} bytes come`);
}

function broken(descriptor: Descriptor, current: OpenRange, at: bigint, error: unknown): Error {
  if (error instanceof ContainerdError && error.kind === "data-loss") return error;
  const where = `fetch ${descriptor.digest} from ${current.served.host}, at byte ${at}`;
  const kind = kindOf(error) === "unknown" ? "unavailable" : kindOf(error);
  return new ContainerdError(kind, `${where}: ${messageOf(error)}`, { cause: error });
}
