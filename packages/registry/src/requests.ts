/**
 * Requests to the distribution API: authorization, redirects, retries, and the next host when one fails.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { CallContext } from "@ctrd/core/context";
import { ContainerdError, kindOf, messageOf } from "@ctrd/core/errors";
import type { ErrorKind } from "@ctrd/core/errors";
import type { ServedBy } from "@ctrd/core/remotes";
import type { Dispatcher } from "undici";
import { request } from "undici";
import { parseChallenges } from "./challenge.ts";
import type { Capability, RegistryHost } from "./hosts.ts";

export type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";

/** One request, without its host. */
export interface ApiRequest {
  readonly method: Method;
  /** Path below the API root: `/<repository>/manifests/<name>`; or an absolute URL that the host gave. */
  readonly path: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  /** Makes the body; called again when the request is sent again. */
  readonly body?: () => Buffer | AsyncIterable<Uint8Array>;
  /** Token scopes that it needs. */
  readonly scopes: readonly string[];
  /** Host of the reference, which mirrors are told. */
  readonly origin: string;
  /** What is done, for messages: `resolve "x"`. */
  readonly action: string;
}

/** An answer; whoever gets it must read or drop the body. */
export interface ApiResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Dispatcher.ResponseData["body"];
  readonly host: RegistryHost;
  /** Host in the end, after redirects. */
  readonly servedFrom: string;
}

const maxTries = 5;
const firstPauseMs = 200;
const longestPauseMs = 10_000;
const maxRedirects = 10;
const maxErrorBytes = 16 << 10;

/** Asks the hosts in order until one gives an answer that is no reason to ask the next. */
export async function askHosts(
  ctx: CallContext,
  hosts: readonly RegistryHost[],
  capability: Capability,
  ask: ApiRequest,
  userAgent: string,
): Promise<{ response: ApiResponse; served: ServedBy }> {
  const able = hosts.filter((host) => host.capabilities.has(capability));
  if (able.length === 0) {
    const names = hosts.map(({ host }) => host).join(", ");
    throw new ContainerdError("not-found", `${ask.action}: no host may be asked to ${capability} (of ${names})`);
  }
  const attempts: { host: string; error: string; kind: ErrorKind }[] = [];
  for (const [index, host] of able.entries()) {
    const isLast = index === able.length - 1;
    try {
      const response = await askHost(ctx, host, ask, userAgent, isLast);
      if (response.status < 400) return { response, served: { host: response.servedFrom, attempts } };
      const { kind, message } = await describeFailure(response);
      attempts.push({ host: host.host, error: message, kind });
    } catch (error) {
      if (ctx.signal.aborted) throw error;
      attempts.push({ host: host.host, error: messageOf(error), kind: kindOf(error) });
    }
  }
  throw failure(ask, attempts);
}

/** One error for all hosts: its kind is that of the last, the registry itself. */
function failure(ask: ApiRequest, attempts: readonly { host: string; error: string; kind: ErrorKind }[]): Error {
  const kind = attempts.at(-1)?.kind ?? "unavailable";
  const details = attempts.map(({ host, error }) => `${host}: ${error}`).join("; ");
  return new ContainerdError(kind === "unknown" ? "unavailable" : kind, `${ask.action}: ${details}`);
}

/** Asks one host, more than once where that helps. */
export async function askHost(
  ctx: CallContext,
  host: RegistryHost,
  ask: ApiRequest,
  userAgent: string,
  insist: boolean,
): Promise<ApiResponse> {
  let previous = 0;
  let challenged = 0;
  for (let tries = 1; ; tries++) {
    ctx.signal.throwIfAborted();
    let response: ApiResponse;
    let authorization: string | undefined;
    try {
      authorization = await host.authorizer?.header(ask.scopes, host.dispatcher, ctx.signal);
      response = await send(ctx, host, ask, userAgent, authorization);
    } catch (error) {
      if (ctx.signal.aborted || error instanceof ContainerdError) throw error;
      // A host that is not there is not asked again while there is another.
      if (!insist || tries >= maxTries || !isTransient(error)) throw connectionError(error);
      await pause(ctx, tries, undefined);
      continue;
    }
    const { status } = response;
    if (status === 401 && host.authorizer !== undefined && challenged < 2) {
      challenged++;
      const challenges = parseChallenges(response.headers["www-authenticate"]);
      await drop(response);
      const again = await host.authorizer.challenged(challenges, ask.scopes, authorization !== undefined);
      if (again) continue;
      return { ...response, body: response.body };
    }
    const busy = status === 408 || status === 429;
    const broken = insist && [500, 502, 503, 504].includes(status) && previous !== status;
    if (!(busy || broken) || tries >= maxTries) return response;
    previous = status;
    await drop(response);
    await pause(ctx, tries, response.headers["retry-after"]);
  }
}

/** Sends once, following redirects. Only the registry itself gets the authorization. */
async function send(
  ctx: CallContext,
  host: RegistryHost,
  ask: ApiRequest,
  userAgent: string,
  authorization: string | undefined,
): Promise<ApiResponse> {
  let url = urlOf(host, ask);
  const home = url.origin;
  for (let redirects = 0; ; redirects++) {
    const atHome = url.origin === home;
    const headers = {
      "user-agent": userAgent,
      ...(atHome ? host.headers : {}),
      ...ask.headers,
      ...(atHome && authorization !== undefined ? { authorization } : {}),
    };
    const answer = await sendPlainOrTls(ctx, host, url, ask, headers);
    const location = answer.headers["location"];
    const redirected = [301, 302, 303, 307, 308].includes(answer.statusCode) && typeof location === "string";
    if (!redirected || (ask.method !== "GET" && ask.method !== "HEAD")) {
      const { statusCode: status, headers: received, body } = answer;
      return { status, headers: received, body, host, servedFrom: url.host };
    }
    await answer.body.dump();
    if (redirects >= maxRedirects) throw new ContainerdError("unavailable", `more than ${maxRedirects} redirects`);
    const next = new URL(location, url);
    if (next.protocol !== "https:" && next.protocol !== "http:") {
      throw new ContainerdError("unavailable", `redirected to "${next.protocol}"`);
    }
    url = next;
  }
}

async function sendPlainOrTls(
  ctx: CallContext,
  host: RegistryHost,
  url: URL,
  ask: ApiRequest,
  headers: Record<string, string | string[]>,
): Promise<Dispatcher.ResponseData> {
  const options = {
    method: ask.method,
    headers,
    signal: ctx.signal,
    dispatcher: host.dispatcher,
  };
  const body = ask.body?.();
  try {
    return await request(plainHosts.has(host) ? withScheme(url, host) : url, {
      ...options,
      ...(body === undefined ? {} : { body: body as Buffer }),
    });
  } catch (error) {
    if (!host.plainOnTlsFailure || plainHosts.has(host) || !isTlsFailure(error)) throw error;
    const retried = ask.body?.();
    const answer = await request(withScheme(url, host), {
      ...options,
      ...(retried === undefined ? {} : { body: retried as Buffer }),
    });
    // It answered, so it is asked in plain from now on.
    plainHosts.add(host);
    return answer;
  }
}

/** Hosts that turned out to speak no TLS. */
const plainHosts = new WeakSet<RegistryHost>();

function withScheme(url: URL, host: RegistryHost): URL {
  if (!host.plainOnTlsFailure || url.host !== host.host) return url;
  const plain = new URL(url);
  plain.protocol = "http:";
  return plain;
}

/** A server that answers the handshake with something else than TLS. */
function isTlsFailure(error: unknown): boolean {
  const { code = "", cause } = error as { code?: string; cause?: unknown };
  if (code === "EPROTO" || code.startsWith("ERR_SSL_") || code === "ECONNRESET") return true;
  return cause !== undefined && isTlsFailure(cause);
}

function urlOf(host: RegistryHost, ask: ApiRequest): URL {
  const url =
    ask.path instanceof URL ? new URL(ask.path) : new URL(`${host.scheme}://${host.host}${host.path}${ask.path}`);
  for (const [name, value] of Object.entries(ask.query ?? {})) url.searchParams.set(name, value);
  if (!(ask.path instanceof URL) && host.host !== ask.origin && !isAlias(host.host, ask.origin)) {
    url.searchParams.set("ns", ask.origin);
  }
  return url;
}

function isAlias(host: string, origin: string): boolean {
  return origin === "docker.io" && host === "registry-1.docker.io";
}

function isTransient(error: unknown): boolean {
  const { code = "" } = error as { code?: string };
  return /^(ECONNRESET|ECONNREFUSED|ETIMEDOUT|EPIPE|EAI_AGAIN|UND_ERR_(SOCKET|HEADERS_TIMEOUT|BODY_TIMEOUT|CONNECT_TIMEOUT))$/.test(
    code,
  );
}

function connectionError(error: unknown): ContainerdError {
  const { code = "" } = error as { code?: string };
  const what =
    code === "UND_ERR_HEADERS_TIMEOUT"
      ? "no answer in time"
      : code === ""
        ? messageOf(error)
        : `${code}: ${messageOf(error)}`;
  return new ContainerdError("unavailable", what, { cause: error });
}

async function pause(ctx: CallContext, tries: number, retryAfter: string | string[] | undefined): Promise<void> {
  const grown = Math.min(longestPauseMs, firstPauseMs * 2 ** (tries - 1));
  const asked = retryAfterMs(typeof retryAfter === "string" ? retryAfter : "");
  // A little chance, so that many clients do not come back together.
  const wait = Math.min(longestPauseMs, Math.max(asked, grown * (0.5 + Math.random() / 2)));
  await sleep(wait, undefined, { signal: ctx.signal });
}

function retryAfterMs(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? 0 : Math.max(0, date - Date.now());
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
    return (errors ?? []).map(({ code = "", message = "" }) => `${code} ${message}`.trim()).join(", ");
  } catch {
    // Not the spec's JSON: a proxy's page, which tells nothing in one line.
    return "";
  }
}
