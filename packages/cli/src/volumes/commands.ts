/**
 * Commands on volumes.
 *
 * @module
 */
import { createInterface } from "node:readline/promises";
import { CommandFailure } from "../failure.ts";
import { labelsText, parseAssignments } from "../output/assignments.ts";
import type { Column, OutputFlags } from "../output/format.ts";
import { formatRows, toJson } from "../output/format.ts";
import { formatSpan } from "../output/quantities.ts";
import type { Session } from "../session.ts";
import { volumesOf, volumeUsers } from "./session-volumes.ts";
import type { Volume } from "./store.ts";
import { checkVolumeName } from "./store.ts";

/** Flags of `ctrd volume ls`. */
export interface ListVolumesFlags extends OutputFlags {
  filter?: string[];
}

interface Row {
  readonly volume: Volume;
  readonly users: readonly string[];
}

const columns: readonly Column<Row>[] = [
  { name: "Name", title: "VOLUME NAME", value: ({ volume }) => volume.name },
  {
    name: "CreatedAt",
    title: "CREATED",
    value: ({ volume }) => volume.createdAt,
    text: ({ volume }) => `${formatSpan(Date.now() - Date.parse(volume.createdAt))} ago`,
  },
  { name: "Users", title: "USED BY", value: ({ users }) => users, text: ({ users }) => users.join(", ") },
  { name: "Mountpoint", value: ({ volume }) => volume.data },
  { name: "Anonymous", value: ({ volume }) => volume.isAnonymous },
  {
    name: "Labels",
    value: ({ volume }) => volume.labels,
    text: ({ volume }) => labelsText(new Map(Object.entries(volume.labels))),
  },
];

/** Runs `ctrd volume ls`. */
export async function listVolumes(session: Session, flags: ListVolumesFlags): Promise<void> {
  const tests = (flags.filter ?? []).map(filterOf);
  const rows = (await rowsOf(session)).filter((row) => tests.every((test) => test(row)));
  process.stdout.write(formatRows(rows, columns, flags));
}

async function rowsOf(session: Session): Promise<Row[]> {
  const store = volumesOf(session);
  const [volumes, users] = await Promise.all([store.list(), volumeUsers(session, store)]);
  return volumes.map((volume) => ({ volume, users: users.get(volume.name) ?? [] }));
}

function filterOf(filter: string): (row: Row) => boolean {
  const [, key = "", value = ""] = /^(\w+)=(.*)$/.exec(filter) ?? [];
  switch (key) {
    case "name":
      return ({ volume }) => volume.name.includes(value);
    case "dangling":
      return ({ users }) => (users.length === 0) === ["true", "1"].includes(value);
    case "label": {
      const [name = "", wanted] = value.split("=");
      return ({ volume: { labels } }) =>
        Object.hasOwn(labels, name) && (wanted === undefined || labels[name] === wanted);
    }
    default:
      throw new CommandFailure(`--filter ${filter}: known are name=, dangling=true|false, label=`);
  }
}

/** Runs `ctrd volume create`. */
export async function createVolume(
  session: Session,
  name: string | undefined,
  labels: readonly string[],
): Promise<void> {
  if (name !== undefined) checkVolumeName("volume create", name);
  const values = Object.fromEntries(parseAssignments("--label", labels));
  const { volume } = await volumesOf(session).create(name, values);
  process.stdout.write(`${volume.name}\n`);
}

/** Runs `ctrd volume inspect`: all that is known, as one JSON array. */
export async function inspectVolumes(session: Session, names: readonly string[]): Promise<void> {
  const store = volumesOf(session);
  const users = await volumeUsers(session, store);
  const found: Record<string, unknown>[] = [];
  for (const name of names) {
    const { data, createdAt, labels, isAnonymous, daemon } = await store.get(name);
    const facts = { Mountpoint: data, CreatedAt: createdAt, Labels: labels, Anonymous: isAnonymous, Daemon: daemon };
    found.push({ Name: name, Driver: "local", ...facts, UsedBy: users.get(name) ?? [] });
  }
  process.stdout.write(`${toJson(found, 2)}\n`);
}

/** Runs `ctrd volume rm`. */
export async function removeVolumes(session: Session, names: readonly string[], force: boolean): Promise<void> {
  const store = volumesOf(session);
  await using _lock = await store.lock("exclusive", session.signal);
  const users = await volumeUsers(session, store);
  for (const name of names) {
    const using_ = users.get(name);
    if (using_ !== undefined) {
      throw new CommandFailure(`volume "${name}" is used by ${using_.join(", ")}`, {
        remedy: `remove the container first: ctrd rm ${using_[0] ?? ""}`,
      });
    }
    if (force && (await store.find(name)) === undefined) continue;
    await store.remove(name);
    process.stdout.write(`${name}\n`);
  }
}

/** Flags of `ctrd volume prune`. */
export interface PruneVolumesFlags {
  all?: boolean;
  force?: boolean;
}

/** Runs `ctrd volume prune`: removes anonymous volumes that no container uses, with `--all` those with names too. */
export async function pruneVolumes(session: Session, { all = false, force = false }: PruneVolumesFlags): Promise<void> {
  const which = all ? "all volumes" : "all anonymous volumes";
  if (!force && !(await confirm(`Remove ${which} that no container uses?`))) return;
  const store = volumesOf(session);
  await using _lock = await store.lock("exclusive", session.signal);
  for (const { volume, users } of await rowsOf(session)) {
    // Containers of other daemons are not known here.
    if (users.length > 0 || volume.daemon !== session.address || !(all || volume.isAnonymous)) continue;
    await store.remove(volume.name);
    process.stdout.write(`${volume.name}\n`);
  }
}

async function confirm(question: string): Promise<boolean> {
  if (!process.stdin.isTTY) throw new CommandFailure(question, { remedy: "say yes with --force" });
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await lines.question(`${question} [y/N] `)).trim());
  } finally {
    lines.close();
  }
}
