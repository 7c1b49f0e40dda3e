/**
 * The OCI spec that flags ask for.
 *
 * @module
 */
import { readFile } from "node:fs/promises";
import type { Seccomp, SpecOption } from "@ctrd/oci";
import {
  parseDevice,
  withAddedCapabilities,
  withAdditionalGroups,
  withAnnotations,
  withApparmorProfile,
  withCwd,
  withDefaultSeccomp,
  withDevice,
  withDroppedCapabilities,
  withEnv,
  withEnvFile,
  withHostname,
  withHostNamespace,
  withImageConfig,
  withNoNewPrivileges,
  withOomScoreAdj,
  withPrivileged,
  withReadonlyRoot,
  withRlimit,
  withSeccompProfile,
  withSeccompUnconfined,
  withShmSize,
  withSysctls,
  withTty,
  withUser,
} from "@ctrd/oci";
import { CommandFailure } from "../failure.ts";
import { parseAssignments } from "../output/assignments.ts";
import type { CreateFlags } from "./flags.ts";
import { findInit, withInit } from "./init.ts";
import { parseBytes, parseNumber } from "./quantities.ts";
import { resourceOptions } from "./resource-options.ts";

/** The options of a container: first what the image says, then what the flags do. */
export async function specOptionsOf(id: string, args: readonly string[], flags: CreateFlags): Promise<SpecOption[]> {
  return [
    withImageConfig({
      args,
      ...(flags.entrypoint === undefined ? {} : { entrypoint: flags.entrypoint === "" ? [] : [flags.entrypoint] }),
    }),
    ...(flags.init === true ? [withInit(await findInit())] : []),
    ...processOptions(id, flags),
    ...namespaceOptions(id, flags),
    ...resourceOptions(flags),
    ...(flags.shmSize === undefined ? [] : [withShmSize(parseBytes("--shm-size", flags.shmSize))]),
    ...rootOptions(flags),
    ...(await securityOptions(flags)),
  ];
}

function processOptions(id: string, flags: CreateFlags): SpecOption[] {
  const { tty, env = [], envFile = [], workdir, user, groupAdd = [], oomScoreAdj } = flags;
  const { columns = 80, rows = 24, isTTY } = process.stdout;
  return [
    ...(tty === true ? [withTty(isTTY ? { width: columns, height: rows } : undefined)] : []),
    withEnv(`HOSTNAME=${hostnameOf(id, flags)}`),
    ...envFile.map((file) => withEnvFile(file)),
    withEnv(...env.map(fromEnvironment)),
    ...(workdir === undefined ? [] : [withCwd(workdir)]),
    ...(user === undefined ? [] : [withUser(user)]),
    ...(groupAdd.length === 0 ? [] : [withAdditionalGroups(...groupAdd)]),
    ...(oomScoreAdj === undefined ? [] : [withOomScoreAdj(parseNumber("--oom-score-adj", oomScoreAdj))]),
    ...(flags.ulimit ?? []).map(parseUlimit),
  ];
}

/** `-e NAME` takes the value from here; a name that is not set here is unset there. */
function fromEnvironment(text: string): string {
  if (text.includes("=")) return text;
  const value = process.env[text];
  return value === undefined ? text : `${text}=${value}`;
}

function parseUlimit(text: string): SpecOption {
  const [, name = "", soft = "", hard = soft] = /^(\w+)=(-?\d+)(?::(-?\d+))?$/.exec(text) ?? [];
  if (name === "") throw new CommandFailure(`--ulimit needs <name>=<soft>[:<hard>], got ${JSON.stringify(text)}`);
  const limit = (value: string): bigint => (value === "-1" ? 2n ** 64n - 1n : BigInt(value));
  return withRlimit(name, limit(soft), limit(hard));
}

/** Host name of a container. */
export function hostnameOf(id: string, { hostname }: CreateFlags): string {
  return hostname ?? id.slice(0, 12);
}

function namespaceOptions(id: string, flags: CreateFlags): SpecOption[] {
  const { pid, ipc } = flags;
  const options: SpecOption[] = [withHostname(hostnameOf(id, flags))];
  for (const [flag, type, value] of [
    ["--pid", "pid", pid],
    ["--ipc", "ipc", ipc],
  ] as const) {
    if (value === undefined || value === "private") continue;
    if (value !== "host") throw new CommandFailure(`${flag} is host or private, got "${value}"`);
    options.push(withHostNamespace(type));
  }
  return options;
}

function rootOptions({ readOnly, device = [] }: CreateFlags): SpecOption[] {
  return [...(readOnly === true ? [withReadonlyRoot()] : []), ...device.map((text) => withDevice(parseDevice(text)))];
}

async function securityOptions(flags: CreateFlags): Promise<SpecOption[]> {
  const { capAdd = [], capDrop = [], privileged = false, securityOpt = [], sysctl = [], annotation = [] } = flags;
  const options: SpecOption[] = [
    ...(privileged ? [withPrivileged()] : []),
    // Dropping first: "drop all, add one" is what people mean.
    ...(capDrop.length === 0 ? [] : [withDroppedCapabilities(...capDrop)]),
    ...(capAdd.length === 0 ? [] : [withAddedCapabilities(...capAdd)]),
  ];
  let seccomp: SpecOption = privileged ? withSeccompUnconfined() : withDefaultSeccomp();
  for (const text of securityOpt) {
    const [, key = "", value = ""] = /^([a-z-]+)(?:[=:](.*))?$/.exec(text) ?? [];
    if (key === "no-new-privileges") options.push(withNoNewPrivileges(value !== "false"));
    else if (key === "apparmor") options.push(withApparmorProfile(value === "unconfined" ? "" : value));
    else if (key === "seccomp") seccomp = await seccompOf(value);
    else throw new CommandFailure(`--security-opt ${text}: known are seccomp=, apparmor=, no-new-privileges`);
  }
  return [
    ...options,
    seccomp,
    ...(sysctl.length === 0 ? [] : [withSysctls(Object.fromEntries(parseAssignments("--sysctl", sysctl)))]),
    ...(annotation.length === 0
      ? []
      : [withAnnotations(Object.fromEntries(parseAssignments("--annotation", annotation)))]),
  ];
}

async function seccompOf(value: string): Promise<SpecOption> {
  if (value === "unconfined") return withSeccompUnconfined();
  return withSeccompProfile(JSON.parse(await readFile(value, "utf8")) as Seccomp);
}
