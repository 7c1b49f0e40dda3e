/**
 * `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of containers. The files are kept beside their logs and mounted;
 * their content is replaced in place, since a mount shows the file that was there.
 *
 * @module
 */
import { readFile, truncate, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { errnoOf } from "@ctrd/core/errors";
import type { Mount } from "@ctrd/oci";
import { bindMount } from "@ctrd/oci";
import { CommandFailure } from "../failure.ts";
import type { NetworkedContainer } from "./request.ts";

/** What a container is told of name servers. */
export interface DnsFlags {
  dns?: string[];
  dnsSearch?: string[];
  dnsOption?: string[];
}

const names = ["hosts", "hostname", "resolv.conf"] as const;

/** Mounts of the files of a container that are kept in `directory`. */
export function fileMounts(directory: string): Mount[] {
  return names.map((name) => bindMount(join(directory, name), `/etc/${name}`));
}

/** Writes the files of a new container. `hosts` are lines. */
export async function writeFiles(
  directory: string,
  options: { hostname: string; hosts: readonly string[]; dns: DnsFlags },
): Promise<void> {
  await writeFile(join(directory, "hostname"), `${options.hostname}\n`);
  await writeFile(join(directory, "hosts"), hostsText(options.hosts, []));
  await writeFile(join(directory, "resolv.conf"), await resolvConf(options.dns));
}

/** Reads `--add-host name:address`; `host-gateway` is not known, since there is one for each network. */
export function parseHost(text: string): string {
  const colon = text.indexOf(":");
  const [name, address] = [text.slice(0, colon), text.slice(colon + 1).replace(/^\[(.*)\]$/, "$1")];
  if (colon <= 0 || isIP(address) === 0 || /\s/.test(name)) {
    throw new CommandFailure(`--add-host needs <name>:<address>, got ${JSON.stringify(text)}`, { exitCode: 125 });
  }
  return `${address}\t${name}`;
}

/** Writes the hosts files of containers that see each other: each has its own names, and those of the others. */
export async function updateHosts(containers: readonly NetworkedContainer[]): Promise<void> {
  for (const { directory, request, state } of containers) {
    if (state === undefined) continue;
    const seen = containers.filter((other) => other.request.networks.some((name) => request.networks.includes(name)));
    // Its own name first: some programs ask which name belongs to their address.
    const ordered = seen.toSorted((a, b) => Number(b.request.id === request.id) - Number(a.request.id === request.id));
    const lines = ordered.flatMap((other) => namesOf(other, request.networks));
    await replace(join(directory, "hosts"), hostsText(request.hosts, lines));
  }
}

function namesOf({ request, state }: NetworkedContainer, networks: readonly string[]): string[] {
  const { hostname, name, aliases, id } = request;
  const all = [...new Set([hostname, name, id.slice(0, 12), ...aliases])].join(" ");
  const shared = (state?.interfaces ?? []).filter(({ network }) => networks.includes(network));
  return shared.flatMap(({ addresses }) => addresses.map(({ ip }) => `${ip}\t${all}`));
}

function hostsText(added: readonly string[], names: readonly string[]): string {
  const local = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"];
  return [...local, ...added, ...names].map((line) => `${line}\n`).join("");
}

async function replace(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { flag: "r+" });
    // Not before: who reads meanwhile sees the old or the new text, and not nothing.
    await truncate(path, Buffer.byteLength(text));
  } catch (error) {
    // Removed in between.
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

/** systemd-resolved listens on an address of the host's loopback interface; here it says what it asks itself. */
const resolverFiles = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

async function resolvConf({ dns = [], dnsSearch = [], dnsOption = [] }: DnsFlags): Promise<string> {
  for (const server of dns) {
    if (isIP(server) === 0) throw new CommandFailure(`--dns ${server}: it is not an address`, { exitCode: 125 });
  }
  const host = await hostResolver();
  const pick = (given: readonly string[], key: string): string[] =>
    given.length > 0 ? [...given] : host.filter(([word]) => word === key).flatMap(([, ...values]) => values);
  const servers = pick(dns, "nameserver");
  const [search, options] = [pick(dnsSearch, "search").filter((name) => name !== "."), pick(dnsOption, "options")];
  return [
    ...servers.map((server) => `nameserver ${server}\n`),
    ...(search.length === 0 ? [] : [`search ${search.join(" ")}\n`]),
    ...(options.length === 0 ? [] : [`options ${options.join(" ")}\n`]),
  ].join("");
}

/** Lines of the host's configuration, without servers that a container cannot reach. */
async function hostResolver(): Promise<string[][]> {
  for (const file of resolverFiles) {
    const lines = (await readText(file)).split("\n").map((line) => line.trim().split(/\s+/));
    const usable = lines.filter(([word, value = ""]) => word !== "nameserver" || !/^(127\.|::1$)/.test(value));
    if (usable.some(([word]) => word === "nameserver")) return usable;
  }
  return [];
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return "";
    throw error;
  }
}
