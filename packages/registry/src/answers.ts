/**
 * Answers of the distribution API, and what refusals say.
 *
 * @module
 */
import type { ErrorKind } from "@ctrd/core/errors";
import { messageOf } from "@ctrd/core/errors";
import type { Dispatcher } from "undici";

/** An answer; whoever gets it must read or drop the body. */
export interface ApiResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Dispatcher.ResponseData["body"];
  /** Host in the end, after redirects. */
  readonly servedFrom: string;
}

const maxErrorBytes = 16 << 10;
/** Most characters of a registry's words in a message of ours. */
const maxWords = 1_000;

/** The first value of a header; empty when there is none. */
export function headerOf(response: ApiResponse, name: string): string {
  const value = response.headers[name];
  return typeof value === "string" ? value : (value?.[0] ?? "");
}

/** Reads a body of at most `limit` bytes as text. @throws what `tooLarge` makes for a larger one */
export async function readLimited(
  body: AsyncIterable<Buffer>,
  limit: number,
  tooLarge: (message: string) => Error,
): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > limit) throw tooLarge(`larger than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** Reads what is left of an answer, so that its connection can be used again. */
export async function drop(response: ApiResponse): Promise<void> {
  await response.body.dump();
}

const kindByStatus: Readonly<Record<number, ErrorKind>> = {
  400: "invalid-argument",
  401: "unauthenticated",
  403: "permission-denied",
  404: "not-found",
  405: "not-implemented",
  416: "out-of-range",
  429: "resource-exhausted",
};

/** What a refusal says: the distribution spec's errors, else the status. Reads the body. */
export async function describeFailure(response: ApiResponse): Promise<{ kind: ErrorKind; message: string }> {
  const kind = kindByStatus[response.status] ?? (response.status >= 500 ? "unavailable" : "unknown");
  const said = errorsIn(await readText(response, maxErrorBytes));
  return { kind, message: `HTTP status ${response.status}${said === "" ? "" : `: ${said}`}` };
}

/** At most `limit` bytes of an answer as text; the rest is dropped. */
async function readText(response: ApiResponse, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      chunks.push(chunk.subarray(0, limit - size));
      size += chunk.length;
      if (size >= limit) break;
    }
  } catch (error) {
    // What was said before the connection broke is enough.
    return `${Buffer.concat(chunks).toString("utf8")} (${messageOf(error)})`;
  }
  return Buffer.concat(chunks).toString("utf8");
}

function errorsIn(text: string): string {
  try {
    const { errors } = JSON.parse(text) as { errors?: { code?: string; message?: string }[] };
    const words = (errors ?? []).map(({ code = "", message = "" }) => `${code} ${message}`.trim()).join(", ");
    // A host's words end up on terminals.
    return words.replace(/[\p{Cc}\p{Cf}]+/gu, " ").slice(0, maxWords);
  } catch {
    // Not the spec's JSON: a proxy's page, which tells nothing in one line.
    return "";
  }
}
