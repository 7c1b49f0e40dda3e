/**
 * An answer with content, or with a range of it.
 *
 * @module
 */
import { dataLoss, unavailable } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import type { ServedBy } from "@ctrd/core/remotes";
import type { ApiResponse } from "./requests.ts";
import { drop } from "./requests.ts";

/** An open answer. */
export interface OpenRange {
  readonly offset: bigint;
  readonly size: bigint | undefined;
  readonly served: ServedBy;
  readonly body: AsyncIterable<Buffer>;
  cancel(): void;
}

/** Opens content from a byte, `length` bytes of it or all. */
export type OpenContent = (from: bigint, length?: bigint) => Promise<OpenRange>;

/** Takes an answer to a request for bytes from `from`. @throws ContainerdError `unavailable` when it is something else */
export async function openRange(
  response: ApiResponse,
  served: ServedBy,
  from: bigint,
  descriptor: Descriptor,
): Promise<OpenRange> {
  const { headers, body, status } = response;
  if (status !== 200 && status !== 206) {
    await drop(response);
    throw unavailable(`fetch ${descriptor.digest}: ${served.host} answers with HTTP status ${status}`);
  }
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(String(headers["content-range"] ?? ""));
  // A server without ranges starts from the beginning, whatever was asked.
  const offset = status === 206 ? BigInt(range?.[1] ?? from) : 0n;
  const length = headers["content-length"];
  const whole = status === 206 ? range?.[2] : typeof length === "string" ? length : undefined;
  const size = whole === undefined || whole === "*" ? undefined : BigInt(whole);
  if (offset > from) {
    await drop(response);
    throw unavailable(`fetch ${descriptor.digest}: ${served.host} starts at ${offset} instead of ${from}`);
  }
  return { offset, size, served, body: body as AsyncIterable<Buffer>, cancel: () => void body.destroy() };
}

/** Refuses content of another size before it is read. */
export function checkSize(descriptor: Descriptor, { size, served, cancel }: OpenRange): void {
  if (size === undefined || size === descriptor.size) return;
  cancel();
  const { digest, size: wanted } = descriptor;
  throw dataLoss(`fetch ${digest}: ${served.host} has ${size} bytes under this digest, expected are ${wanted}`);
}
