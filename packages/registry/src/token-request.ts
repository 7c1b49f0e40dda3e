/**
 * Asking a token server: as OAuth 2 does, or by GET.
 *
 * @module
 */
import { ContainerdError, messageOf, permissionDenied, unavailable } from "@ctrd/core/errors";
import type { Dispatcher } from "undici";
import { requestUntil } from "./send.ts";
import { readLimited } from "./answers.ts";
import type { Challenge } from "./challenge.ts";
import type { Credentials } from "./credentials.ts";

/** What to present to the registry, and until when. */
export interface Token {
  readonly header: string;
  /** Milliseconds of the clock. */
  readonly expires: number;
}

const maxTokenBytes = 1 << 20;
const clientId = "containerd-client";

/** One attempt to get a token. */
export class TokenRequest {
  readonly #host: string;
  readonly #realm: URL;
  readonly #service: string;
  readonly #scopes: readonly string[];
  readonly #signal: AbortSignal;
  readonly #dispatcher: Dispatcher;

  /** @param via how the registry is reached; a token server beside it has, as a rule, the same authorities */
  constructor(host: string, challenge: Challenge, scopes: readonly string[], via: Dispatcher, signal: AbortSignal) {
    this.#host = host;
    this.#realm = realmOf(host, challenge);
    this.#service = challenge.parameters.get("service") ?? "";
    this.#scopes = scopes;
    this.#signal = signal;
    this.#dispatcher = via;
  }

  /** Asks as OAuth 2 does; undefined when the server knows only GET. */
  async post({ username, secret }: Credentials): Promise<Token | undefined> {
    const form = new URLSearchParams({ client_id: clientId, service: this.#service });
    if (this.#scopes.length > 0) form.set("scope", this.#scopes.join(" "));
    if (username === "") {
      form.set("grant_type", "refresh_token");
      form.set("refresh_token", secret);
    } else {
      form.set("grant_type", "password");
      form.set("username", username);
      form.set("password", secret);
    }
    const headers = { "content-type": "application/x-www-form-urlencoded; charset=utf-8" };
    const { status, body } = await this.#send("POST", this.#realm, headers, form.toString());
    const onlyGet = [400, 401, 404].includes(status) || (status === 405 && username !== "");
    if (onlyGet) return undefined;
    return this.#tokenOf(status, body);
  }

  async get(credentials: Credentials | undefined): Promise<Token> {
    const url = new URL(this.#realm);
    if (this.#service !== "") url.searchParams.append("service", this.#service);
    for (const scope of this.#scopes) url.searchParams.append("scope", scope);
    const headers =
      credentials === undefined ? {} : { authorization: basicHeader(credentials.username, credentials.secret) };
    const { status, body } = await this.#send("GET", url, headers);
    return this.#tokenOf(status, body);
  }

  async #send(method: "GET" | "POST", url: URL, headers: Record<string, string>, body?: string) {
    const options = { method, headers, dispatcher: this.#dispatcher, ...(body === undefined ? {} : { body }) };
    try {
      const answer = await requestUntil(this.#signal, url, options);
      return { status: answer.statusCode, body: await readBody(answer.body) };
    } catch (error) {
      if (this.#signal.aborted) throw error;
      throw unavailable(`${this.#what()}: ${messageOf(error)}`, { cause: error });
    }
  }

  #tokenOf(status: number, body: string): Token {
    const what = this.#what();
    if (status === 401 || status === 403) {
      throw unauthenticated(`${what}: the credentials were refused (${status}); log in with ctrd login`);
    }
    if (status >= 500 || status === 429) throw unavailable(`${what}: HTTP status ${status}`);
    if (status < 200 || status >= 400) throw permissionDenied(`${what}: HTTP status ${status}`);
    let answer: { access_token?: unknown; token?: unknown; expires_in?: unknown } | null;
    try {
      answer = JSON.parse(body) as typeof answer;
    } catch {
      // Without the parser's words, which quote the answer.
      throw permissionDenied(`${what}: the answer is no JSON`);
    }
    const token = [answer?.access_token, answer?.token].find((one) => typeof one === "string" && one !== "");
    if (typeof token !== "string") throw permissionDenied(`${what}: the answer holds no token`);
    if (!/^[\x21-\x7e]+$/.test(token)) throw permissionDenied(`${what}: the token is malformed`);
    const told = answer?.expires_in;
    const seconds = typeof told === "number" && told > 0 ? told : Infinity;
    return { header: `Bearer ${token}`, expires: Date.now() + seconds * 1000 };
  }

  #what(): string {
    return `get a token for ${this.#host} from ${this.#realm.host}`;
  }
}

/** The header of basic authorization. */
export function basicHeader(username: string, secret: string): string {
  return `Basic ${Buffer.from(`${username}:${secret}`, "utf8").toString("base64")}`;
}

/** An error that tells to log in. */
export function unauthenticated(message: string): ContainerdError {
  return new ContainerdError("unauthenticated", message);
}

function realmOf(host: string, challenge: Challenge): URL {
  const realm = challenge.parameters.get("realm") ?? "";
  const url = URL.canParse(realm) ? new URL(realm) : undefined;
  if (url?.protocol === "https:" || url?.protocol === "http:") return url;
  throw permissionDenied(`${host} asks for a token from "${realm.slice(0, 200)}", which is no URL of http`);
}

function readBody(body: AsyncIterable<Buffer>): Promise<string> {
  return readLimited(body, maxTokenBytes, (what) => permissionDenied(`the answer is ${what}`));
}
