/**
 * The headers of a request: what HTTP/2 allows (RFC 9113, section 8).
 *
 * @module
 */
import { ErrorCode, StreamError } from "./errors.ts";
import type { Header } from "./header-table.ts";

/** Headers by name, pseudo headers (`:path` …) too. Values of a repeated name are joined with ", ". */
export type RequestHeaders = Readonly<Partial<Record<string, string>>>;

const pseudoHeaders: ReadonlySet<string> = new Set([":method", ":scheme", ":authority", ":path"]);
const connectionHeaders: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);
/** Upper case, control characters, space and what is above ASCII have no place in a name. */
const badName = /[^\x21-\x40\x5b-\x7e]|^$|.:/;
// oxlint-disable-next-line no-control-regex -- these are the characters that are forbidden
const badValue = /[\0\r\n]/;

/** Makes a request's headers of a list. @throws StreamError `PROTOCOL_ERROR` when the list is none */
export function requestHeaders(streamId: number, list: readonly Header[]): RequestHeaders {
  // Without a prototype, so that no name means anything else.
  const headers = Object.create(null) as Partial<Record<string, string>>;
  let regular = false;
  for (const { name, value } of list) {
    if (name.startsWith(":")) {
      if (regular || !pseudoHeaders.has(name) || headers[name] !== undefined) {
        throw malformed(streamId, `pseudo header "${name}" is unknown, repeated, or behind another header`);
      }
      headers[name] = value;
    } else {
      regular = true;
      checkHeader(streamId, name, value);
      const before = headers[name];
      headers[name] = before === undefined ? value : `${before}${name === "cookie" ? "; " : ", "}${value}`;
    }
  }
  if (!headers[":method"] || !headers[":scheme"] || !headers[":path"]) {
    throw malformed(streamId, "a request needs :method, :scheme and :path");
  }
  return headers;
}

/** @throws StreamError `PROTOCOL_ERROR` when a list cannot follow a body */
export function checkTrailers(streamId: number, list: readonly Header[]): void {
  for (const { name, value } of list) checkHeader(streamId, name, value);
}

/** The length that a request says its body has; undefined when it says none. @throws StreamError `PROTOCOL_ERROR` */
export function contentLength(streamId: number, headers: RequestHeaders): number | undefined {
  const text = headers["content-length"];
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text)) throw malformed(streamId, `content-length "${text}" is no length`);
  return Number(text);
}

function checkHeader(streamId: number, name: string, value: string): void {
  const fits = !badName.test(name) && !badValue.test(value) && !connectionHeaders.has(name) && !name.startsWith(":");
  if (!fits || (name === "te" && value !== "trailers")) {
    throw malformed(streamId, `header "${name}" has no place in HTTP/2, or has a malformed value`);
  }
}

function malformed(streamId: number, message: string): StreamError {
  return new StreamError(streamId, ErrorCode.ProtocolError, message);
}
