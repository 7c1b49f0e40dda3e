/**
 * An answer with content, or with a range of it.
 *
 * @module
 */
import { dataLoss, unavailable } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import type { ServedBy } from "@ctrd/core/remotes";
import type { ApiResponse } from "./answers.ts";
import { drop, headerOf } from "./answers.ts";

/** An open answer. */
export interface OpenRange {
  readonly offset: bigint;
  readonly size: bigint | undefined;
  /** Whether the server gives parts when asked for one. */
  readonly isPart: boolean;
  readonly served: ServedBy;
  readonly body: AsyncIterable<Buffer>;
  cancel(): void;
}

/** Opens content from a byte, `length` bytes of it or all, until `signal` or the call itself is aborted. */
export type OpenContent = (from: bigint, length: bigint | undefined, signal?: AbortSignal) => Promise<OpenRange>;

/** Takes an answer to a request for bytes from `from`. @throws ContainerdError `unavailable` when it is something else */
export async function openRange(
  response: ApiResponse,
  served: ServedBy,
  from: bigint,
  descriptor: Descriptor,
): Promise<OpenRange> {
  const { body, status } = response;
  const wrong = async (what: string): Promise<never> => {
    await drop(response);
    throw unavailable(`fetch ${descriptor.digest}: ${served.host} ${what}`);
  };
  if (status !== 200 && status !== 206) return wrong(`answers with HTTP status ${status}`);
  const encoding = headerOf(response, "content-encoding");
  if (encoding !== "" && encoding !== "identity") return wrong(`sends it as ${encoding}, which was not asked for`);
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headerOf(response, "content-range"));
  const isPart = status === 206;
  // A server without ranges starts from the beginning, whatever was asked.
  const offset = isPart ? BigInt(range?.[1] ?? from) : 0n;
  if (offset > from) return wrong(`starts at ${offset} instead of ${from}`);
  const whole = (isPart ? range?.[2] : headerOf(response, "content-length")) ?? "";
  const size = /^\d+$/.test(whole) ? BigInt(whole) : undefined;
  const cancel = (): void => {
    // It tells of its abortion, to which nobody else may listen: content that is refused unread has no reader.
    body.on("error", () => {});
    body.destroy();
  };
  return { offset, size, isPart, served, body: body as AsyncIterable<Buffer>, cancel };
}

/** Refuses content of another size before it is read. */
export function checkSize(descriptor: Descriptor, { size, served, cancel }: OpenRange): void {
  if (size === undefined || size === descriptor.size) return;
  cancel();
  const { digest, size: wanted } = descriptor;
  throw dataLoss(`fetch ${digest}: ${served.host} has ${size} bytes under this digest, expected are ${wanted}`);
}
