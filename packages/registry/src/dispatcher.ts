/**
 * Connections to one host: kept alive, with its TLS settings.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import type { SecureContext } from "node:tls";
import { createSecureContext, rootCertificates } from "node:tls";
import { errnoOf } from "@ctrd/core/errors";
import type { Dispatcher } from "undici";
import { Agent, buildConnector, Pool, ProxyAgent } from "undici";
import { proxyFor } from "./proxy-environment.ts";

/** TLS towards a host. PEM texts. */
export interface TlsSettings {
  /** Authorities that are trusted beside the system's. */
  ca?: readonly string[];
  /** The client's certificate with its key, in one text or in two. */
  client?: readonly { cert: string; key: string }[];
  skipVerify?: boolean;
}

export interface DispatcherOptions {
  tls?: TlsSettings;
  dialTimeoutMs?: number;
  stallTimeoutMs?: number;
}

const defaultDialTimeoutMs = 30_000;
const defaultStallTimeoutMs = 30_000;
/** Connections to one host; a pull's blobs share them. */
const connections = 16;

/**
 * Opens the connections of a host, through the proxy of the environment where there is one. Nothing is connected, and no
 * certificate read, before it is needed.
 */
export function openDispatcher(options: DispatcherOptions): Dispatcher {
  const { tls = {}, dialTimeoutMs = defaultDialTimeoutMs, stallTimeoutMs = defaultStallTimeoutMs } = options;
  const pool = { connections, headersTimeout: stallTimeoutMs, bodyTimeout: stallTimeoutMs };
  const plain = buildConnector({ timeout: dialTimeoutMs });
  let secure: buildConnector.connector | undefined;
  const connect: buildConnector.connector = (target, done) => {
    if (target.protocol !== "https:") return plain(target, done);
    try {
      secure ??= buildConnector(secureOptions(tls, dialTimeoutMs));
    } catch (error) {
      return done(error as Error, null);
    }
    return secure(target, done);
  };
  return new Agent({
    factory(origin) {
      const proxy = proxyFor(new URL(origin));
      return proxy === undefined
        ? new Pool(origin, { ...pool, connect })
        : throughProxy(proxy, tls, pool, dialTimeoutMs);
    },
  });
}

function secureOptions(tls: TlsSettings, timeout: number): buildConnector.BuildOptions {
  return { timeout, rejectUnauthorized: tls.skipVerify !== true, secureContext: secureContextOf(tls) };
}

/** A tunnel for TLS; plain requests are sent to the proxy itself, which need not allow tunnels for them. */
function throughProxy(proxy: URL, tls: TlsSettings, pool: Pool.Options, dialTimeoutMs: number): Dispatcher {
  const settings = {
    proxyTunnel: false,
    // Of the connection in the tunnel; the host's own, while those of the proxy are the system's.
    requestTls: secureOptions(tls, dialTimeoutMs),
    proxyTls: secureOptions({}, dialTimeoutMs),
    factory: (origin: string | URL, more: object) => new Pool(origin, { ...pool, ...more }),
    // A proxy that takes the connection and does not answer.
    clientFactory: (origin: URL, more: object) => new Pool(origin, { headersTimeout: dialTimeoutMs, ...more }),
  };
  const { username, password } = proxy;
  if (username === "") return new ProxyAgent({ uri: proxy.href, ...settings } as ProxyAgent.Options);
  const user = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const token = `Basic ${Buffer.from(user).toString("base64")}`;
  return new ProxyAgent({ uri: proxy.href, token, ...settings } as ProxyAgent.Options);
}

/** Made once for a host: there are many authorities to read. */
function secureContextOf({ ca = [], client = [], skipVerify }: TlsSettings): SecureContext {
  if (ca.length === 0 && client.length === 0) {
    common ??= createSecureContext({ ca: [...systemAuthorities()] });
    return common;
  }
  return createSecureContext({
    ca: skipVerify === true ? [...ca] : [...systemAuthorities(), ...ca],
    cert: client.map(({ cert }) => cert),
    key: client.map(({ key }) => key),
  });
}

/** Where distributions keep the bundle of trusted authorities. */
const systemBundles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/** For hosts without settings of their own. */
let common: SecureContext | undefined;

/** The system's authorities, which its administrator may have added to; Node's own where there are none. */
function systemAuthorities(): readonly string[] {
  const named = process.env["SSL_CERT_FILE"];
  for (const file of named === undefined || named === "" ? systemBundles : [named]) {
    try {
      return [readFileSync(file, "utf8")];
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
  return rootCertificates;
}
