/**
 * `hosts.toml` and Docker's `certs.d`: mirrors and TLS settings of registries, one directory a registry.
 *
 * @module
 */
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { parseGoDuration } from "@ctrd/core/durations";
import { errnoOf, invalidArgument, messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import { parse } from "smol-toml";
import type { TlsSettings } from "./dispatcher.ts";
import { openDispatcher } from "./dispatcher.ts";
import type { Capability, HostLookup, HostOptions, RegistryHost } from "./hosts.ts";
import { addressOf, allCapabilities, orTls, registryHost } from "./hosts.ts";

/** Options of {@link hostsFromDirectories}. */
export interface HostsDirectoryOptions extends HostOptions {
  /** Roots that are searched in order. */
  directories: readonly string[];
  log: Logger;
}

type Table = Readonly<Record<string, unknown>>;

/** Looks hosts up in directories, anew each time, so that a changed file needs no restart. */
export function hostsFromDirectories(options: HostsDirectoryOptions): HostLookup {
  const cache = new Map<string, { text: string; hosts: readonly RegistryHost[] }>();
  return async (host) => {
    const directory = await findDirectory(options.directories, host);
    if (directory === undefined) return [fallback(host)];
    const file = join(directory, "hosts.toml");
    const text = await readIfThere(file);
    const key = `${host}\0${directory}\0${text ?? ""}`;
    const known = cache.get(host);
    if (known?.text === key) return known.hosts;
    const hosts = await load(host, directory, file, text);
    cache.set(host, { text: key, hosts });
    return hosts;
  };

  function fallback(host: string): RegistryHost {
    const known = cache.get(host);
    if (known?.text === "" && known.hosts[0] !== undefined) return known.hosts[0];
    const made = registryHost(host, options);
    cache.set(host, { text: "", hosts: [made] });
    return made;
  }

  async function load(host: string, directory: string, file: string, text: string | undefined) {
    if (text !== undefined && text.trim() !== "") {
      try {
        return await hostsOf(host, file, parse(text) as Table, options);
      } catch (error) {
        options.log.error({ file, err: messageOf(error) }, "hosts.toml ignored");
      }
    }
    const tls = await dockerCertificates(directory);
    if (Object.keys(tls).length === 0) return [registryHost(host, options)];
    return [registryHost(host, { ...options, tls: { ...options.tls, ...tls } })];
  }
}

/** `<host>_<port>_`, the host as written, `_default`: the first that exists in the first root that has one. */
async function findDirectory(roots: readonly string[], host: string): Promise<string | undefined> {
  const [, name, port] = /^(.*):(\d+)$/.exec(host) ?? [];
  const names = [...(name === undefined ? [] : [`${name}_${port}_`]), host, "_default"];
  for (const root of roots) {
    for (const candidate of names) {
      const directory = join(root, candidate);
      try {
        await readdir(directory);
        return directory;
      } catch (error) {
        if (!["ENOENT", "ENOTDIR"].includes(errnoOf(error) ?? "")) throw error;
      }
    }
  }
  return undefined;
}

async function hostsOf(host: string, file: string, table: Table, options: HostOptions): Promise<RegistryHost[]> {
  const tables = isTable(table["host"]) ? table["host"] : {};
  const hosts: RegistryHost[] = [];
  for (const [url, settings] of Object.entries(tables)) {
    if (!isTable(settings)) throw invalidArgument(`${file}: host."${url}" is not a table`);
    hosts.push(await hostOf(url, file, settings, options));
  }
  const server = table["server"];
  // Without a server of its own the file still says how to reach the registry itself, which can do everything.
  if (server === undefined) return [...hosts, registryHost(host, await connectionOf(file, table, options))];
  if (typeof server !== "string") throw invalidArgument(`${file}: server is not a string`);
  return [...hosts, await hostOf(server, file, table, options)];
}

async function hostOf(url: string, file: string, settings: Table, options: HostOptions): Promise<RegistryHost> {
  const parsed = parseUrl(url, file);
  const connection = await connectionOf(file, settings, options);
  const way = { scheme: parsed.protocol === "http:" ? "http" : "https", plainOnTlsFailure: false } as const;
  const host = addressOf(parsed.host);
  return {
    host,
    ...orTls(way, parsed.port, connection.tls !== undefined),
    path: apiPath(parsed.pathname, settings["override_path"] === true),
    capabilities: capabilitiesOf(file, settings["capabilities"]),
    headers: connection.headers ?? {},
    dispatcher: openDispatcher(connection),
    authorizer: options.authorizer?.(host),
  };
}

/** The caller's options with what a table says of the connection. */
async function connectionOf(file: string, settings: Table, options: HostOptions): Promise<HostOptions> {
  const tls = await tlsOf(file, settings);
  const dialTimeout = settings["dial_timeout"];
  return {
    ...options,
    ...(tls === undefined ? {} : { tls: { ...options.tls, ...tls } }),
    headers: { ...options.headers, ...headersOf(file, settings["header"]) },
    ...(typeof dialTimeout === "string" ? { dialTimeoutMs: parseGoDuration(dialTimeout) } : {}),
  };
}

function parseUrl(url: string, file: string): URL {
  const text = /^https?:\/\//.test(url) ? url : `https://${url}`;
  try {
    return new URL(text);
  } catch (error) {
    throw invalidArgument(`${file}: "${url}" is not a URL`, { cause: error });
  }
}

function apiPath(path: string, override: boolean): string {
  const trimmed = path.replace(/\/+$/, "");
  return override || trimmed.endsWith("/v2") ? trimmed : `${trimmed}/v2`;
}

function capabilitiesOf(file: string, value: unknown): ReadonlySet<Capability> {
  const list = Array.isArray(value) ? value : [];
  if (list.length === 0) return new Set(allCapabilities);
  return new Set(
    list.map((entry: unknown) => {
      const known = allCapabilities.find((capability) => capability === String(entry).toLowerCase());
      if (known !== undefined) return known;
      throw invalidArgument(`${file}: capability "${String(entry)}" is not one of ${allCapabilities.join(", ")}`);
    }),
  );
}

function headersOf(file: string, value: unknown): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  for (const [name, entry] of Object.entries(isTable(value) ? value : {})) {
    if (typeof entry === "string") headers[name] = entry;
    else if (Array.isArray(entry) && entry.every((one) => typeof one === "string")) headers[name] = entry;
    else throw invalidArgument(`${file}: header ${name} is neither a string nor a list of strings`);
  }
  return headers;
}

/** The TLS settings of a table; undefined when it has none, which is something else than settings that are off. */
async function tlsOf(file: string, settings: Table): Promise<TlsSettings | undefined> {
  if (["ca", "client", "skip_verify"].every((key) => settings[key] === undefined)) return undefined;
  const read = (path: unknown): Promise<string> => {
    if (typeof path !== "string") throw invalidArgument(`${file}: expected the path of a PEM file`);
    return readFile(resolve(dirname(file), path), "utf8");
  };
  const tls: TlsSettings = {};
  const { ca, client } = settings;
  if (ca !== undefined) tls.ca = await Promise.all((Array.isArray(ca) ? ca : [ca]).map(read));
  if (client !== undefined) {
    tls.client = await Promise.all(
      (Array.isArray(client) ? client : [client]).map(async (entry: unknown) => {
        const [cert, key] = Array.isArray(entry) ? (entry as unknown[]) : [entry, undefined];
        const text = await read(cert);
        return { cert: text, key: key === undefined || key === "" ? text : await read(key) };
      }),
    );
  }
  if (settings["skip_verify"] === true) tls.skipVerify = true;
  return tls;
}

/** `*.crt` are authorities; `*.cert` with `*.key` are the client's. */
async function dockerCertificates(directory: string): Promise<TlsSettings> {
  const names = await readdir(directory);
  const read = (name: string): Promise<string> => readFile(join(directory, name), "utf8");
  const ca = await Promise.all(names.filter((name) => name.endsWith(".crt")).map(read));
  const client = await Promise.all(
    names
      .filter((name) => name.endsWith(".cert"))
      .map(async (name) => {
        const key = name.replace(/\.cert$/, ".key");
        const cert = await read(name);
        return { cert, key: names.includes(key) ? await read(key) : cert };
      }),
  );
  return { ...(ca.length === 0 ? {} : { ca }), ...(client.length === 0 ? {} : { client }) };
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
