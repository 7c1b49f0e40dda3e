/**
 * Connections to one host: kept alive, with its TLS settings.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { Agent } from "undici";
import type { Dispatcher } from "undici";

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

/** Opens the connections of a host; nothing is connected before it is needed. */
export function openDispatcher(options: DispatcherOptions): Dispatcher {
  const { tls = {}, dialTimeoutMs = defaultDialTimeoutMs, stallTimeoutMs = defaultStallTimeoutMs } = options;
  const client = tls.client ?? [];
  return new Agent({
    connections,
    headersTimeout: stallTimeoutMs,
    bodyTimeout: stallTimeoutMs,
    connect: {
      timeout: dialTimeoutMs,
      rejectUnauthorized: tls.skipVerify !== true,
      ...(tls.ca === undefined ? {} : { ca: [...systemAuthorities(), ...tls.ca] }),
      ...(client.length === 0 ? {} : { cert: client.map(({ cert }) => cert), key: client.map(({ key }) => key) }),
    },
  });
}

/** Where distributions keep the bundle of trusted authorities. */
const systemBundles = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
let authorities: string[] | undefined;

function systemAuthorities(): string[] {
  authorities ??= readFirst(systemBundles);
  return authorities;
}

function readFirst(files: readonly string[]): string[] {
  for (const file of files) {
    try {
      return [readFileSync(file, "utf8")];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  return [];
}
