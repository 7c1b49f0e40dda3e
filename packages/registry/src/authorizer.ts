/**
 * Authorization of requests to one host: basic, and tokens as the distribution spec has them.
 *
 * @module
 */
import { messageOf, notImplemented, permissionDenied } from "@ctrd/core/errors";
import { ContainerdError } from "@ctrd/core/errors";
import type { Dispatcher } from "undici";
import { request } from "undici";
import type { Challenge } from "./challenge.ts";
import type { CredentialSource, Credentials } from "./credentials.ts";

/** Authorizes requests to one host. */
export interface Authorizer {
  /** The header for a request with these scopes, if one is known to be needed. */
  header(scopes: readonly string[], via: Dispatcher, signal: AbortSignal): Promise<string | undefined>;
  /**
   * Takes the challenges of a refused request.
   *
   * @returns whether it makes sense to try the request again
   * @throws ContainerdError `unauthenticated`, `permission-denied`, `not-implemented` for schemes that are not known
   */
  challenged(challenges: readonly Challenge[], scopes: readonly string[], hadHeader: boolean): Promise<boolean>;
}

interface Token {
  readonly header: string;
  /** Milliseconds of the clock. */
  readonly expires: number;
}

/** A token is not used in its last seconds. */
const safetyMs = 5_000;
const maxTokenBytes = 1 << 20;
const clientId = "containerd-client";

/** Authorizes with the credentials of `source`. Tokens are kept until they expire. */
export function createAuthorizer(host: string, source: CredentialSource): Authorizer {
  return new HostAuthorizer(host, source);
}

class HostAuthorizer implements Authorizer {
  readonly #host: string;
  readonly #source: CredentialSource;
  /** What the host asked for last. */
  #bearer: Challenge | undefined;
  #basic = false;
  readonly #tokens: Map<string, Promise<Token>> = new Map();

  constructor(host: string, source: CredentialSource) {
    this.#host = host;
    this.#source = source;
  }

  async header(scopes: readonly string[], via: Dispatcher, signal: AbortSignal): Promise<string | undefined> {
    if (this.#bearer !== undefined) return (await this.#token(this.#bearer, scopes, via, signal)).header;
    if (!this.#basic) return undefined;
    const { username, secret } = (await this.#source(this.#host, signal)) ?? { username: "", secret: "" };
    if (username === "" || secret === "") {
      throw unauthenticated(`${this.#host} asks for user and password, and there are none; log in with ctrd login`);
    }
    return basicHeader(username, secret);
  }

  challenged(challenges: readonly Challenge[], scopes: readonly string[], hadHeader: boolean): Promise<boolean> {
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    if (bearer !== undefined) {
      const error = bearer.parameters.get("error");
      if (hadHeader && error === undefined && this.#sameRealm(bearer)) return Promise.resolve(false);
      // The host says that the token is no good: a new one is fetched, once.
      if (hadHeader) this.#tokens.delete(keyOf(scopes));
      this.#bearer = bearer;
      return Promise.resolve(true);
    }
    if (challenges.some(({ scheme }) => scheme === "basic")) {
      if (hadHeader) throw unauthenticated(`${this.#host} refused user and password`);
      this.#basic = true;
      return Promise.resolve(true);
    }
    const schemes = challenges.map(({ scheme }) => scheme).join(", ");
    if (schemes === "") throw unauthenticated(`${this.#host} refused the request without saying how to authorize`);
    throw notImplemented(`${this.#host} asks for authorization by ${schemes}`);
  }

  #sameRealm(challenge: Challenge): boolean {
    const known = this.#bearer?.parameters;
    return ["realm", "service", "scope"].every((name) => known?.get(name) === challenge.parameters.get(name));
  }

  async #token(challenge: Challenge, scopes: readonly string[], via: Dispatcher, signal: AbortSignal): Promise<Token> {
    const asked = challenge.parameters.get("scope");
    const wanted = scopes.length > 0 ? scopes : asked === undefined ? [] : [asked];
    const key = keyOf(scopes);
    const known = this.#tokens.get(key);
    // Whoever fetches it may give up, which is no reason for others to.
    const token = await known?.catch(() => undefined);
    if (token !== undefined && token.expires > Date.now() + safetyMs) return token;
    const fetching = this.#fetchToken(challenge, wanted, via, signal);
    this.#tokens.set(key, fetching);
    try {
      return await fetching;
    } catch (error) {
      if (this.#tokens.get(key) === fetching) this.#tokens.delete(key);
      throw error;
    }
  }

  async #fetchToken(
    challenge: Challenge,
    scopes: readonly string[],
    via: Dispatcher,
    signal: AbortSignal,
  ): Promise<Token> {
    const realm = realmOf(this.#host, challenge);
    const service = challenge.parameters.get("service") ?? "";
    const credentials = await this.#source(this.#host, signal);
    // The token server is another host than the registry, as a rule: the registry's client certificate is not for it.
    const dispatcher = realm.host === this.#host ? via : undefined;
    const ask = new TokenRequest(this.#host, realm, service, scopes, signal, dispatcher);
    if (credentials === undefined || credentials.secret === "") return ask.get(undefined);
    return (await ask.post(credentials)) ?? ask.get(credentials);
  }
}

/** One attempt to get a token. */
class TokenRequest {
  readonly #host: string;
  readonly #realm: URL;
  readonly #service: string;
  readonly #scopes: readonly string[];
  readonly #signal: AbortSignal;
  readonly #dispatcher: Dispatcher | undefined;

  constructor(
    host: string,
    realm: URL,
    service: string,
    scopes: readonly string[],
    signal: AbortSignal,
    dispatcher: Dispatcher | undefined,
  ) {
    this.#host = host;
    this.#realm = realm;
    this.#service = service;
    this.#scopes = scopes;
    this.#signal = signal;
    this.#dispatcher = dispatcher;
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
    try {
      const answer = await request(url, {
        method,
        headers,
        signal: this.#signal,
        ...(body === undefined ? {} : { body }),
        ...(this.#dispatcher === undefined ? {} : { dispatcher: this.#dispatcher }),
      });
      return { status: answer.statusCode, body: await readLimited(answer.body) };
    } catch (error) {
      if (this.#signal.aborted) throw error;
      throw new ContainerdError(
        "unavailable",
        `get a token for ${this.#host} from ${this.#realm.host}: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }

  #tokenOf(status: number, body: string): Token {
    const where = `get a token for ${this.#host} from ${this.#realm.host}`;
    if (status === 401 || status === 403) {
      throw unauthenticated(`${where}: the credentials were refused (${status}); log in with ctrd login`);
    }
    if (status < 200 || status >= 400) throw permissionDenied(`${where}: HTTP status ${status}`);
    let answer: { access_token?: unknown; token?: unknown; expires_in?: unknown };
    try {
      answer = JSON.parse(body) as typeof answer;
    } catch (error) {
      throw permissionDenied(`${where}: the answer is no JSON`, { cause: error });
    }
    const token = [answer.access_token, answer.token].find((one) => typeof one === "string" && one !== "");
    if (typeof token !== "string") throw permissionDenied(`${where}: the answer holds no token`);
    if (/[\r\n\0]/.test(token)) throw permissionDenied(`${where}: the token is malformed`);
    const seconds = typeof answer.expires_in === "number" && answer.expires_in > 0 ? answer.expires_in : Infinity;
    return { header: `Bearer ${token}`, expires: Date.now() + seconds * 1000 };
  }
}

function realmOf(host: string, challenge: Challenge): URL {
  const realm = challenge.parameters.get("realm") ?? "";
  try {
    const url = new URL(realm);
    if (url.protocol === "https:" || url.protocol === "http:") return url;
  } catch (error) {
    throw permissionDenied(`${host} asks for a token from "${realm}", which is not a URL`, { cause: error });
  }
  throw permissionDenied(`${host} asks for a token from "${realm}", which is not http`);
}

async function readLimited(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > maxTokenBytes) throw new Error(`the answer is larger than ${maxTokenBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function keyOf(scopes: readonly string[]): string {
  return [...new Set(scopes)].sort().join(" ");
}

function basicHeader(username: string, secret: string): string {
  return `Basic ${Buffer.from(`${username}:${secret}`, "utf8").toString("base64")}`;
}

function unauthenticated(message: string): ContainerdError {
  return new ContainerdError("unauthenticated", message);
}
