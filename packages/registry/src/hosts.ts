/**
 * Hosts: where a registry's content may be asked for, in order.
 *
 * @module
 */
import type { Dispatcher } from "undici";
import type { Authorizer } from "./authorizer.ts";
import { openDispatcher } from "./dispatcher.ts";
import type { TlsSettings } from "./dispatcher.ts";

/** What a host may be asked for. */
export type Capability = "pull" | "resolve" | "push" | "referrers";
export const allCapabilities: readonly Capability[] = ["pull", "resolve", "push", "referrers"];

/** A host that speaks the distribution API. */
export interface RegistryHost {
  /** Host and port, for messages, credentials and the Host header. */
  readonly host: string;
  readonly scheme: "http" | "https";
  /** Path of the API root, `/v2` by default. */
  readonly path: string;
  readonly capabilities: ReadonlySet<Capability>;
  /** Added to every request. */
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly dispatcher: Dispatcher;
  readonly authorizer: Authorizer | undefined;
  /** Whether plain HTTP is tried when TLS cannot be spoken. */
  readonly plainOnTlsFailure: boolean;
}

/** Finds the hosts for the host of a reference: mirrors first, the registry itself last. */
export type HostLookup = (host: string) => Promise<readonly RegistryHost[]>;

/** Options of {@link registryHosts}. */
export interface HostOptions {
  /** Scheme of registries that have no settings of their own; by default https, and for this machine what answers. */
  defaultScheme?: "http" | "https";
  tls?: TlsSettings;
  /** Added to every request, also to mirrors. */
  headers?: Readonly<Record<string, string | string[]>>;
  /** Makes the authorizer of a host; the same one is kept for all requests to it. */
  authorizer?: (host: string) => Authorizer;
  /** Milliseconds to connect; 30 s by default. */
  dialTimeoutMs?: number;
  /** Milliseconds without a byte after which a host counts as stalled; 30 s by default. */
  stallTimeoutMs?: number;
}

/** The registry itself, without mirrors. */
export function registryHosts(options: HostOptions = {}): HostLookup {
  const known = new Map<string, readonly RegistryHost[]>();
  return (host) => {
    const hosts = known.get(host) ?? [registryHost(host, options)];
    known.set(host, hosts);
    return Promise.resolve(hosts);
  };
}

/** How to reach a registry about which nothing else is known. */
export function registryHost(host: string, options: HostOptions): RegistryHost {
  const guess = orTls(guessScheme(host, options.defaultScheme), portOf(host), options.tls !== undefined);
  const tls = { ...options.tls, ...(guess.skipVerify ? { skipVerify: true } : {}) };
  return {
    host: addressOf(host),
    scheme: guess.scheme,
    path: "/v2",
    capabilities: new Set(allCapabilities),
    headers: options.headers ?? {},
    dispatcher: openDispatcher({ ...options, tls }),
    authorizer: options.authorizer?.(addressOf(host)),
    plainOnTlsFailure: guess.plainOnTlsFailure,
  };
}

/** Plain HTTP for which there are TLS settings: TLS first, as containerd does, unless the port is that of plain HTTP. */
export function orTls<T extends Pick<RegistryHost, "scheme" | "plainOnTlsFailure">>(
  way: T,
  port: string,
  hasTls: boolean,
): T {
  const tries = way.scheme === "http" && hasTls && port !== "" && port !== "80";
  return tries ? { ...way, scheme: "https", plainOnTlsFailure: true } : way;
}

const foreignDispatcher = openDispatcher({});

/** A host that content is fetched from by URL: it gets no credentials and no headers of the registry. */
export function foreignHost(url: URL): RegistryHost {
  return {
    host: url.host,
    scheme: url.protocol === "https:" ? "https" : "http",
    path: "",
    capabilities: new Set(["pull"]),
    headers: {},
    dispatcher: foreignDispatcher,
    authorizer: undefined,
    plainOnTlsFailure: false,
  };
}

/** The name under which a registry is really served. */
export function addressOf(host: string): string {
  return host === "docker.io" ? "registry-1.docker.io" : host;
}

interface Guess {
  scheme: "http" | "https";
  skipVerify: boolean;
  plainOnTlsFailure: boolean;
}

function guessScheme(host: string, preferred: "http" | "https" | undefined): Guess {
  const port = portOf(host);
  const name = port === "" ? host : host.slice(0, -port.length - 1);
  if (preferred !== undefined && name !== "docker.io") {
    return { scheme: preferred, skipVerify: false, plainOnTlsFailure: false };
  }
  if (!isThisMachine(name)) return { scheme: "https", skipVerify: false, plainOnTlsFailure: false };
  if (port === "80") return { scheme: "http", skipVerify: false, plainOnTlsFailure: false };
  return { scheme: "https", skipVerify: true, plainOnTlsFailure: port !== "" && port !== "443" };
}

function portOf(host: string): string {
  return /:(\d+)$/.exec(host)?.[1] ?? "";
}

function isThisMachine(name: string): boolean {
  return name === "localhost" || name === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(name);
}
