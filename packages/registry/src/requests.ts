/**
 * Requests to the distribution API: authorization, retries, and the next host when one fails.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { CallContext } from "@ctrd/core/context";
import { ContainerdError, isKind, kindOf, messageOf, unavailable } from "@ctrd/core/errors";
import type { ErrorKind } from "@ctrd/core/errors";
import type { ServedBy } from "@ctrd/core/remotes";
import type { ApiResponse } from "./answers.ts";
import { describeFailure, drop, headerOf } from "./answers.ts";
import { parseChallenges } from "./challenge.ts";
import type { Capability, RegistryHost } from "./hosts.ts";
import { proxyFor } from "./proxy-environment.ts";
import type { ApiRequest } from "./send.ts";
import { originOf, send } from "./send.ts";

const maxTries = 5;
const firstPauseMs = 200;
const longestPauseMs = 10_000;

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
  const attempts: Attempt[] = [];
  for (const [index, host] of able.entries()) {
    const isLast = index === able.length - 1;
    try {
      const response = await askHost(ctx, host, ask, userAgent, isLast);
      if (response.status < 400) {
        return {
          response,
          served: { host: response.servedFrom, attempts: attempts.map(({ host, error }) => ({ host, error })) },
        };
      }
      const { kind, message } = await describeFailure(response);
      attempts.push({ host: host.host, error: message, kind });
    } catch (error) {
      if (ctx.signal.aborted) throw error;
      attempts.push({ host: host.host, error: messageOf(error), kind: kindOf(error), cause: error });
    }
  }
  throw failure(ask, attempts);
}

interface Attempt {
  readonly host: string;
  readonly error: string;
  readonly kind: ErrorKind;
  /** Absent when the host answered. */
  readonly cause?: unknown;
}

/** One error for all hosts: its kind and cause are those of the last, the registry itself. */
function failure(ask: ApiRequest, attempts: readonly Attempt[]): Error {
  const { kind = "unavailable", cause } = attempts.at(-1) ?? {};
  const details = attempts.map(({ host, error }) => `${host}: ${error}`).join("; ");
  const context = cause === undefined ? {} : { cause };
  return new ContainerdError(kind === "unknown" ? "unavailable" : kind, `${ask.action}: ${details}`, context);
}

/** Asks one host, more than once where that helps and the request has no body. */
export async function askHost(
  ctx: CallContext,
  host: RegistryHost,
  wanted: ApiRequest,
  userAgent: string,
  insist: boolean,
): Promise<ApiResponse> {
  let ask = wanted;
  let previous = 0;
  let challenged = 0;
  for (let tries = 1; ; tries++) {
    ctx.signal.throwIfAborted();
    const mayRetry = ask.body === undefined && tries < maxTries;
    let response: ApiResponse;
    let authorization: string | undefined;
    try {
      authorization = await host.authorizer?.header(ask.scopes, host.dispatcher, ctx.signal);
      response = await send(ctx, host, ask, userAgent, authorization);
    } catch (error) {
      if (ctx.signal.aborted) throw error;
      // A host that is not there is not asked again while there is another.
      const retried = insist && mayRetry && isTransient(error);
      if (!retried) throw error instanceof ContainerdError ? error : connectionError(error, host);
      await pause(ctx, tries, "");
      continue;
    }
    const { status } = response;
    if (status === 401 && host.authorizer !== undefined && challenged < 2) {
      challenged++;
      if ((await takeChallenge(host, response, ask, authorization)) && ask.body === undefined) continue;
      return response;
    }
    if (status === 405 && ask.method === "HEAD" && isManifest(ask)) {
      // Some registries know only GET here.
      ask = { ...ask, method: "GET" };
      await drop(response);
      continue;
    }
    const busy = status === 408 || status === 429;
    const broken = insist && [500, 502, 503, 504].includes(status) && previous !== status;
    if (!(busy || broken) || !mayRetry) return response;
    previous = status;
    await drop(response);
    await pause(ctx, tries, headerOf(response, "retry-after"));
  }
}

/** Tells the authorizer; when the request makes sense again, the answer is dropped. */
async function takeChallenge(
  host: RegistryHost,
  response: ApiResponse,
  ask: ApiRequest,
  refused: string | undefined,
): Promise<boolean> {
  let again = false;
  try {
    const challenges = parseChallenges(response.headers["www-authenticate"]);
    again = host.authorizer?.challenged(challenges, ask.scopes, refused) ?? false;
  } catch (error) {
    await drop(response);
    throw error;
  }
  if (again && ask.body === undefined) await drop(response);
  return again;
}

function isManifest({ path }: ApiRequest): boolean {
  return typeof path === "string" && /\/manifests\/[^/]+$/.test(path);
}

const transientCodes =
  /^(ECONNRESET|ECONNREFUSED|ETIMEDOUT|EPIPE|EAI_AGAIN|UND_ERR_(SOCKET|HEADERS_TIMEOUT|BODY_TIMEOUT|CONNECT_TIMEOUT))$/;

function isTransient(error: unknown): boolean {
  // A token server that fails.
  if (isKind(error, "unavailable")) return error.cause === undefined || isTransient(error.cause);
  const { code = "" } = error as { code?: string };
  return transientCodes.test(code);
}

function connectionError(error: unknown, host: RegistryHost): ContainerdError {
  const { code = "" } = error as { code?: string };
  const proxyStatus = /^Proxy (?:response|Authentication Required) \((\d+)\)/.exec(messageOf(error))?.[1];
  if (proxyStatus !== undefined) {
    const proxy = proxyFor(new URL(originOf(host)))?.host ?? "of the environment";
    const remedy = proxyStatus === "407" ? "; it wants user and password, as in http://user:password@host:port" : "";
    return unavailable(`the proxy ${proxy} refuses with status ${proxyStatus}${remedy}`, { cause: error });
  }
  if (code === "UND_ERR_HEADERS_TIMEOUT") return unavailable("no answer in time", { cause: error });
  return unavailable(code === "" ? messageOf(error) : `${code}: ${messageOf(error)}`, { cause: error });
}

async function pause(ctx: CallContext, tries: number, retryAfter: string): Promise<void> {
  const grown = Math.min(longestPauseMs, firstPauseMs * 2 ** (tries - 1));
  // A little chance, so that many clients do not come back together.
  const wait = Math.min(longestPauseMs, Math.max(retryAfterMs(retryAfter), grown * (0.5 + Math.random() / 2)));
  await sleep(wait, undefined, { signal: ctx.signal });
}

function retryAfterMs(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? 0 : Math.max(0, date - Date.now());
}
