/**
 * `ctrd system prune`: removes what is not in use.
 *
 * @module
 */
import { createInterface } from "node:readline/promises";
import type { Container } from "@ctrd/client";
import { parseGoDuration } from "@ctrd/core/durations";
import { isKind } from "@ctrd/core/errors";
import type { Labels, Timestamp } from "@ctrd/core/records";
import { millisFromTimestamp } from "@ctrd/core/records";
import { parseReference, shortReference } from "@ctrd/core/references";
import { nameOf, shortId } from "../containers/labels.ts";
import { removeContainer } from "../containers/start.ts";
import { stateOf, taskOf } from "../containers/state.ts";
import { CommandFailure } from "../failure.ts";
import type { NamedImage } from "../images/find.ts";
import { hasTarget } from "../images/find.ts";
import { parseAssignments } from "../output/assignments.ts";
import { formatBytes } from "../output/quantities.ts";
import type { Session } from "../session.ts";
import { bytesOf, collectGarbage } from "./collect.ts";
import { describeCollection } from "./garbage.ts";

/** Flags of `ctrd system prune`. */
export interface PruneFlags {
  all?: boolean;
  volumes?: boolean;
  force?: boolean;
  filter?: string[];
}

/** Labels of what another manager looks after: CRI keeps images and containers of pods. */
const managedLabels = ["io.cri-containerd.image", "io.cri-containerd.kind"];
/** The restart monitor is about to start it again. */
const restartLabel = "containerd.io/restart.status";

/** Runs `ctrd system prune`. */
export async function prune(session: Session, flags: PruneFlags): Promise<void> {
  const filter = filterOf(flags.filter ?? []);
  if (flags.volumes === true && flags.filter !== undefined) {
    throw new CommandFailure("--filter says nothing of volumes: prune those with: ctrd volume prune");
  }
  if (flags.force !== true && !(await confirmed(flags))) {
    process.stdout.write("Nothing was removed.\n");
    return;
  }
  let containers: string[] = [];
  let images: string[] = [];
  const collection = await collectGarbage(session, async () => {
    containers = await pruneContainers(session, filter);
    images = await pruneImages(session, filter, flags.all === true);
  });
  if (containers.length > 0) process.stdout.write(`Deleted containers:\n${lines(containers)}`);
  if (images.length > 0) process.stdout.write(`Untagged images:\n${lines(images)}`);
  if (flags.filter === undefined) await pruneNetworks();
  if (flags.volumes === true) await pruneVolumes(session);
  process.stdout.write(describeCollection(collection));
  process.stdout.write(`Total reclaimed space: ${formatBytes(bytesOf(collection.removed))}\n`);
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `  ${text}\n`).join("");
}

/** Networks are of this machine, whatever the namespace. */
async function pruneNetworks(): Promise<void> {
  const { remove, unusedNetworks } = await import("../network/commands.ts");
  const names = await unusedNetworks();
  if (names.length === 0) return;
  process.stdout.write("Deleted networks:\n");
  await remove(names);
}

/** Only those that were made for one container: what has a name is somebody's data. */
async function pruneVolumes(session: Session): Promise<void> {
  process.stdout.write("Deleted volumes:\n");
  await (await import("../volumes/commands.ts")).pruneVolumes(session, { force: true });
}

async function confirmed({ all, volumes, filter }: PruneFlags): Promise<boolean> {
  if (!process.stdin.isTTY) {
    throw new CommandFailure("there is no terminal to ask on", { remedy: "to prune without a question: --force" });
  }
  const removed = [
    "all containers of this namespace that do not run",
    `${all === true ? "all images" : "images without a tag"} that no container of it was made of`,
    ...(filter === undefined ? ["networks that no container uses"] : []),
    ...(volumes === true ? ["anonymous volumes that no container uses"] : []),
    "whatever nothing keeps, in all namespaces",
  ];
  process.stderr.write(`This removes\n${lines(removed)}`);
  const question = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(?:es)?$/i.test((await question.question("Go on? [y/N] ")).trim());
  } finally {
    question.close();
  }
}

type Filter = (record: { labels: Labels; createdAt: Timestamp | undefined }) => boolean;

/** `until=<time or age>`, `label=<key>[=<value>]`; all must fit. */
function filterOf(texts: readonly string[]): Filter {
  const tests: Filter[] = texts.map((text) => {
    const equals = text.indexOf("=");
    const [name, value] = [text.slice(0, equals), text.slice(equals + 1)];
    if (name === "until" && value !== "") {
      const until = timeOf(value);
      return ({ createdAt }) => millisFromTimestamp(createdAt) < until;
    }
    if (name === "label" && value !== "") {
      const [[key, wanted] = ["", ""]] = parseAssignments("--filter label", [value]);
      return ({ labels }) => labels.has(key) && (!value.includes("=") || labels.get(key) === wanted);
    }
    throw new CommandFailure(`--filter knows until=<age or time> and label=<key>[=<value>], not "${text}"`);
  });
  return (record) => tests.every((test) => test(record));
}

/** A time, or how long ago it was. */
function timeOf(text: string): number {
  try {
    return Date.now() - parseGoDuration(text);
  } catch (error) {
    if (!isKind(error, "invalid-argument")) throw error;
  }
  const time = Date.parse(text);
  if (Number.isNaN(time)) throw new CommandFailure(`--filter until=${text} is no age (24h) and no time (2026-01-31)`);
  return time;
}

function isManaged(labels: ReadonlyMap<string, string>): boolean {
  return managedLabels.some((label) => labels.has(label)) || labels.get(restartLabel) === "running";
}

async function pruneContainers(session: Session, filter: Filter): Promise<string[]> {
  const removed: string[] = [];
  for (const record of await session.containers.list(session.ctx, [])) {
    if (isManaged(record.labels) || !filter(record)) continue;
    const container = session.client.containerOf(record);
    const { state } = await stateOf(session, container);
    if (state !== "created" && state !== "exited") continue;
    if (await removedUnlessUsed(session, container))
      removed.push(`${shortId(record.id)} ${nameOf(record.labels)}`.trimEnd());
  }
  return removed;
}

/** False when somebody has started or removed it in between. */
async function removedUnlessUsed(session: Session, container: Container): Promise<boolean> {
  try {
    // Without kill: what was started in between stays.
    await (await taskOf(session, container))?.delete();
    await removeContainer(container);
    return true;
  } catch (error) {
    if (isKind(error, "not-found") || isKind(error, "failed-precondition")) return false;
    throw error;
  }
}

async function pruneImages(session: Session, filter: Filter, all: boolean): Promise<string[]> {
  const used = new Set((await session.containers.list(session.ctx, [])).map(({ image }) => image));
  const images = (await session.images.list(session.ctx, [])).filter(hasTarget);
  const unused = images.filter((image) => !used.has(image.name) && !isManaged(image.labels) && filter(image));
  const removed: string[] = [];
  for (const image of unused.filter((one) => all || isDangling(one))) {
    try {
      await session.images.delete(session.ctx, image.name, { target: image.target });
      removed.push(shortReference(image.name));
    } catch (error) {
      if (!isKind(error, "not-found")) throw error;
    }
  }
  return removed;
}

/** Names without a tag, as images have them that were imported without a name. */
function isDangling({ name }: NamedImage): boolean {
  try {
    return parseReference(name).tag === "";
  } catch (error) {
    if (isKind(error, "invalid-argument")) return true;
    throw error;
  }
}
