/**
 * Authorization of requests to one host: basic, and tokens as the distribution spec has them.
 *
 * @module
 */
import { untilAborted } from "@ctrd/core/context";
import { notImplemented } from "@ctrd/core/errors";
import type { Dispatcher } from "undici";
import type { Challenge } from "./challenge.ts";
import type { CredentialSource } from "./credentials.ts";
import type { Token } from "./token-request.ts";
import { basicHeader, TokenRequest, unauthenticated } from "./token-request.ts";

/** Authorizes requests to one host. */
export interface Authorizer {
  /** The header for a request with these scopes, if one is known to be needed. */
  header(scopes: readonly string[], via: Dispatcher, signal: AbortSignal): Promise<string | undefined>;
  /**
   * Takes the challenges of a refused request.
   *
   * @param refused the header that it had
   * @returns whether it makes sense to try the request again
   * @throws ContainerdError `unauthenticated`; `not-implemented` for schemes that are not known
   */
  challenged(challenges: readonly Challenge[], scopes: readonly string[], refused: string | undefined): boolean;
}

/** A token, or one on its way. */
interface Entry {
  readonly token: Promise<Token>;
  /** Of whoever fetches it, which may give up before others do. */
  readonly owner: AbortSignal;
  header: string | undefined;
}

/** A token is not used in its last seconds. */
const safetyMs = 5_000;
/** Sets of scopes of one host that are remembered. */
const maxRemembered = 1_000;

/** Authorizes with the credentials of `source`. Tokens are kept until they expire. */
export function createAuthorizer(host: string, source: CredentialSource): Authorizer {
  return new HostAuthorizer(host, source);
}

class HostAuthorizer implements Authorizer {
  readonly #host: string;
  readonly #source: CredentialSource;
  /** What the host asked for last. */
  #bearer: Challenge | undefined;
  #wantsBasic = false;
  #basic: string | undefined;
  readonly #tokens: Map<string, Entry> = new Map();
  /** Scopes that the host itself named: under a mirror's path a repository has another name than ours. */
  readonly #asked: Map<string, string> = new Map();

  constructor(host: string, source: CredentialSource) {
    this.#host = host;
    this.#source = source;
  }

  async header(scopes: readonly string[], via: Dispatcher, signal: AbortSignal): Promise<string | undefined> {
    if (this.#bearer !== undefined) return (await this.#token(this.#bearer, scopes, via, signal)).header;
    if (!this.#wantsBasic) return undefined;
    this.#basic ??= await this.#fetchBasic(signal);
    return this.#basic;
  }

  challenged(challenges: readonly Challenge[], scopes: readonly string[], refused: string | undefined): boolean {
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    if (bearer !== undefined) {
      this.#takeBearer(bearer, keyOf(scopes), refused);
      return true;
    }
    if (challenges.some(({ scheme }) => scheme === "basic")) {
      this.#basic = undefined;
      if (refused !== undefined) throw unauthenticated(`${this.#host} refused user and password`);
      this.#wantsBasic = true;
      return true;
    }
    const schemes = challenges.map(({ scheme }) => scheme).join(", ");
    if (schemes === "") throw unauthenticated(`${this.#host} refused the request without saying how to authorize`);
    throw notImplemented(`${this.#host} asks for authorization by ${schemes}`);
  }

  #takeBearer(bearer: Challenge, key: string, refused: string | undefined): void {
    const asked = bearer.parameters.get("scope") ?? "";
    if (this.#tokens.size + this.#asked.size > maxRemembered) {
      this.#tokens.clear();
      this.#asked.clear();
    }
    // Another request may have been refused as well and have a new token already.
    const isCurrent = this.#tokens.get(key)?.header === refused;
    if (refused !== undefined && (isCurrent || this.#asked.get(key) !== asked)) this.#tokens.delete(key);
    this.#bearer = bearer;
    this.#asked.set(key, asked);
  }

  async #fetchBasic(signal: AbortSignal): Promise<string> {
    const { username, secret } = (await untilAborted(this.#source(this.#host, signal), signal)) ?? {
      username: "",
      secret: "",
    };
    if (username !== "" && secret !== "") return basicHeader(username, secret);
    throw unauthenticated(`${this.#host} asks for user and password, and there are none; log in with ctrd login`);
  }

  async #token(challenge: Challenge, scopes: readonly string[], via: Dispatcher, signal: AbortSignal): Promise<Token> {
    const key = keyOf(scopes);
    for (let known = this.#tokens.get(key); known !== undefined; known = this.#tokens.get(key)) {
      try {
        const token = await untilAborted(known.token, signal);
        if (token.expires > Date.now() + safetyMs) return token;
      } catch (error) {
        signal.throwIfAborted();
        // Whoever fetched it gave up, which is no reason for others to.
        if (!known.owner.aborted) throw error;
      }
      if (this.#tokens.get(key) === known) this.#tokens.delete(key);
    }
    const wanted = keyOf([...scopes, ...(this.#asked.get(key) ?? "").split(" ")]);
    const token = this.#fetchToken(challenge, wanted === "" ? [] : wanted.split(" "), via, signal);
    const entry: Entry = { token, owner: signal, header: undefined };
    this.#tokens.set(key, entry);
    try {
      entry.header = (await token).header;
    } catch (error) {
      if (this.#tokens.get(key) === entry) this.#tokens.delete(key);
      throw error;
    }
    return token;
  }

  async #fetchToken(
    challenge: Challenge,
    scopes: readonly string[],
    via: Dispatcher,
    signal: AbortSignal,
  ): Promise<Token> {
    const credentials = await untilAborted(this.#source(this.#host, signal), signal);
    const ask = new TokenRequest(this.#host, challenge, scopes, via, signal);
    if (credentials === undefined || credentials.secret === "") return ask.get(undefined);
    return (await ask.post(credentials)) ?? ask.get(credentials);
  }
}

function keyOf(scopes: readonly string[]): string {
  return [...new Set(scopes)]
    .filter((scope) => scope !== "")
    .sort()
    .join(" ");
}
