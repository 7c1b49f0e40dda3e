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
import { Agent, buildConnector } from "undici";

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

/** Opens the connections of a host; nothing is connected, and no certificate read, before it is needed. */
export function openDispatcher(options: DispatcherOptions): Dispatcher {
  const { tls = {}, dialTimeoutMs = defaultDialTimeoutMs, stallTimeoutMs = defaultStallTimeoutMs } = options;
  const plain = buildConnector({ timeout: dialTimeoutMs });
  let secure: buildConnector.connector | undefined;
  return new Agent({
    connections,
    headersTimeout: stallTimeoutMs,
    bodyTimeout: stallTimeoutMs,
    connect: (target, done) => {
      if (target.protocol !== "https:") return plain(target, done);
      try {
        secure ??= buildConnector({
          timeout: dialTimeoutMs,
          rejectUnauthorized: tls.skipVerify !== true,
          secureContext: secureContextOf(tls),
        });
      } catch (error) {
        return done(error as Error, null);
      }
      return secure(target, done);
    },
  });
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
