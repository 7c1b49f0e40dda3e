/**
 * Sending one request: where to, with which headers, over TLS or in plain, and through redirects.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { untilAborted } from "@ctrd/core/context";
import { failedPrecondition } from "@ctrd/core/errors";
import { formatTraceparent, traced, traceparentHeader } from "@ctrd/core/tracing";
import { failpoints } from "@ctrd/core/failpoints";
import type { Dispatcher } from "undici";
import { request } from "undici";
import type { ApiResponse } from "./answers.ts";
import type { RegistryHost } from "./hosts.ts";

export type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";

/** One request, without its host. */
export interface ApiRequest {
  readonly method: Method;
  /** Path below the API root: `/<repository>/manifests/<name>`; or an absolute URL that the host gave. */
  readonly path: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string>>;
  /** A stream can be sent once, so a request with a body is not tried again. */
  readonly body?: AsyncIterable<Uint8Array>;
  /** Token scopes that it needs. */
  readonly scopes: readonly string[];
  /** Host of the reference, which mirrors are told. */
  readonly origin: string;
  /** What is done, for messages: `resolve "x"`. */
  readonly action: string;
}

const maxRedirects = 10;
/** A registry may move and hash gigabytes before it answers to an upload. */
const uploadAnswerMs = 600_000;

/** Sends once, following redirects. Only the registry itself gets the authorization. */
export async function send(
  ctx: CallContext,
  host: RegistryHost,
  ask: ApiRequest,
  userAgent: string,
  authorization: string | undefined,
): Promise<ApiResponse> {
  FAILPOINT: if (failpoints.on) await failpoints.at("registry.request");
  let url = urlOf(host, ask);
  const home = url.origin;
  for (let redirects = 0; ; redirects++) {
    const headers = headersOf(host, ask, userAgent, authorization, url.origin === home);
    const answer = await sendTraced(ctx, host, url, ask, headers);
    const location = answer.headers["location"];
    if (typeof location !== "string" || !isFollowed(ask, answer.statusCode)) {
      return { status: answer.statusCode, headers: answer.headers, body: answer.body, servedFrom: url.host };
    }
    await answer.body.dump();
    if (redirects >= maxRedirects) throw failedPrecondition(`more than ${maxRedirects} redirects`);
    url = redirectTarget(location, url);
  }
}

/** Only the registry itself learns of the trace, not where it sends to. */
function sendTraced(
  ctx: CallContext,
  host: RegistryHost,
  url: URL,
  ask: ApiRequest,
  headers: Record<string, string | string[]>,
): Promise<Dispatcher.ResponseData> {
  if (ctx.span === undefined && ctx.operation === undefined) return sendPlainOrTls(ctx, host, url, ask, headers);
  // Not the query: it may hold what gives access.
  const attributes = { "http.request.method": ask.method, "url.full": `${url.origin}${url.pathname}` };
  const send = async (inner: CallContext): Promise<Dispatcher.ResponseData> => {
    const isHome = url.host === host.host && inner.span !== undefined;
    if (isHome) headers[traceparentHeader] = formatTraceparent(inner.span.context);
    const answer = await sendPlainOrTls(inner, host, url, ask, headers);
    inner.span?.set({ "http.response.status_code": answer.statusCode, "server.address": url.host });
    return answer;
  };
  return traced(ctx, `HTTP ${ask.method}`, attributes, send, "client");
}

function isFollowed({ method, body }: ApiRequest, status: number): boolean {
  if (method === "GET" || method === "HEAD") return [301, 302, 303, 307, 308].includes(status);
  // The others would turn it into a GET.
  return body === undefined && (status === 307 || status === 308);
}

function redirectTarget(location: string, from: URL): URL {
  const next = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (next?.protocol === "https:" || next?.protocol === "http:") return next;
  throw failedPrecondition(`${from.host} redirects to something that is no URL of http`);
}

function headersOf(
  host: RegistryHost,
  ask: ApiRequest,
  userAgent: string,
  authorization: string | undefined,
  atHome: boolean,
): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = { "user-agent": userAgent };
  // Names of configured headers come in any case.
  for (const [name, value] of Object.entries(atHome ? host.headers : {})) headers[name.toLowerCase()] = value as string;
  Object.assign(headers, ask.headers);
  if (atHome && authorization !== undefined) headers["authorization"] = authorization;
  return headers;
}

async function sendPlainOrTls(
  ctx: CallContext,
  host: RegistryHost,
  url: URL,
  ask: ApiRequest,
  headers: Record<string, string | string[]>,
): Promise<Dispatcher.ResponseData> {
  const { method, body } = ask;
  const more = body === undefined ? {} : { body: body as unknown as Buffer, headersTimeout: uploadAnswerMs };
  const options = { method, headers, dispatcher: host.dispatcher, ...more };
  const isPlain = plainHosts.has(host);
  try {
    return await requestUntil(ctx.signal, isPlain ? inPlain(url, host) : url, options);
  } catch (error) {
    // The first request to a host has no body.
    if (!host.plainOnTlsFailure || isPlain || body !== undefined || !isNoTls(error)) throw error;
    const answer = await requestUntil(ctx.signal, inPlain(url, host), options);
    // It answered, so it is asked in plain from now on.
    plainHosts.add(host);
    return answer;
  }
}

/**
 * A request that ends with `signal` also while its connection is being made, which undici waits for. What then comes of it
 * undici drops, for it knows the signal too.
 */
export function requestUntil(
  signal: AbortSignal,
  url: URL,
  options: { dispatcher: Dispatcher } & Omit<Dispatcher.RequestOptions<null>, "origin" | "path">,
): Promise<Dispatcher.ResponseData> {
  return untilAborted(request(url, { ...options, signal }), signal);
}

/** Hosts that turned out to speak no TLS. */
const plainHosts = new WeakSet<RegistryHost>();

function inPlain(url: URL, host: RegistryHost): URL {
  if (!host.plainOnTlsFailure || url.host !== host.host) return url;
  const plain = new URL(url);
  plain.protocol = "http:";
  return plain;
}

/** A server that answers the handshake with something else than TLS. A refused certificate is something else. */
function isNoTls(error: unknown): boolean {
  const { code = "", message = "", cause } = error as { code?: string; message?: string; cause?: unknown };
  if (code === "EPROTO" || /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST)$/.test(code)) {
    return !/alert/i.test(message);
  }
  if (code === "ECONNRESET" && message.includes("before secure TLS connection")) return true;
  return cause !== undefined && isNoTls(cause);
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

/** Scheme and host under which the registry is asked at present. */
export function originOf(host: RegistryHost): string {
  return new URL(`${plainHosts.has(host) ? "http" : host.scheme}://${host.host}`).origin;
}
