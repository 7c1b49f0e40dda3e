/**
 * Making containers, as `run` and `create` do.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import type { Container } from "@ctrd/client";
import { signalNumber } from "@ctrd/client";
import { errnoOf } from "@ctrd/core/errors";
import { checkIdentifier } from "@ctrd/core/identifiers";
import { millisFromTimestamp } from "@ctrd/core/records";
import { completeReference, parseReference } from "@ctrd/core/references";
import { RestartLabel } from "@ctrd/restart-monitor/policy";
import { CommandFailure } from "../failure.ts";
import { describeImage } from "../images/describe.ts";
import type { NamedImage } from "../images/find.ts";
import { findImage, lookUp } from "../images/find.ts";
import { pullWithProgress } from "../images/pull.ts";
import { chosenSnapshotter } from "../images/snapshotter.ts";
import { planNetwork, prepareNetwork } from "../network/container-network.ts";
import { parseAssignments } from "../output/assignments.ts";
import type { Session } from "../session.ts";
import { ContainerVolumes } from "../volumes/container-volumes.ts";
import { makeDirectory } from "./directory.ts";
import type { CreateFlags } from "./flags.ts";
import {
  autoRemoveLabel,
  directoryLabel,
  interactiveLabel,
  nameLabel,
  nameOf,
  rotationLabel,
  shortId,
  stopSignalLabel,
  stopTimeoutLabel,
} from "./labels.ts";
import { parseBytes, parseNumber } from "./quantities.ts";
import { hasRestartPolicy, logUriOf, restartLabels } from "./restart.ts";
import { hostnameOf, specOptionsOf } from "./spec-options.ts";

/** Makes a container; its image is pulled when it is not there. */
export async function createContainer(
  session: Session,
  reference: string,
  args: readonly string[],
  flags: CreateFlags,
): Promise<Container> {
  const id = randomBytes(32).toString("hex");
  // Before anything is pulled.
  const specOptions = await specOptionsOf(id, args, flags);
  await using volumes = await ContainerVolumes.parse(session, flags);
  const network = await planNetwork(flags);
  const labels = new Map([...(await labelsOf(session, flags)), ...network.labels]);
  const image = await imageFor(session, reference, flags);
  const name = flags.name ?? madeUpName(image.name, id);
  labels.set(nameLabel, name);
  const signal = flags.stopSignal ?? (await imageStopSignal(session, image));
  if (signal !== undefined) labels.set(stopSignalLabel, signal);
  const directory = await makeDirectory(session, id);
  labels.set(directoryLabel, directory);
  try {
    if (hasRestartPolicy(labels)) labels.set(RestartLabel.logUri, await logUriOf(directory));
    const place = { id, name, hostname: hostnameOf(id, flags), directory };
    const networkOption = await prepareNetwork(session, network, place, flags);
    const snapshotter = chosenSnapshotter(flags.snapshotter);
    const container = await session.client.newContainer(id, {
      signal: session.signal,
      image: image.name,
      specOptions: [networkOption, ...specOptions, volumes.option(() => imageConfig(session, image))],
      labels,
      ...(snapshotter === undefined ? {} : { snapshotter }),
      ...(flags.runtime === undefined ? {} : { runtime: runtimeName(flags.runtime) }),
      ...(flags.platform === undefined ? {} : { platform: flags.platform }),
    });
    await keepNameUnique(session, container);
    if (flags.cidfile !== undefined) await writeCidfile(flags.cidfile, container);
    volumes.keep();
    return container;
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

async function labelsOf(session: Session, flags: CreateFlags): Promise<Map<string, string>> {
  const labels = parseAssignments("--label", flags.label ?? []);
  if (flags.name !== undefined) await checkName(session, flags.name);
  if (flags.rm === true) labels.set(autoRemoveLabel, "true");
  if (flags.interactive === true) labels.set(interactiveLabel, "true");
  if (flags.stopSignal !== undefined) signalNumber(flags.stopSignal);
  if (flags.stopTimeout !== undefined) {
    labels.set(stopTimeoutLabel, String(parseNumber("--stop-timeout", flags.stopTimeout)));
  }
  for (const [key, value] of restartLabels(flags)) labels.set(key, value);
  const options = parseAssignments("--log-opt", flags.logOpt ?? []);
  if (options.size > 0) labels.set(rotationLabel, rotationOf(options));
  return labels;
}

function rotationOf(options: ReadonlyMap<string, string>): string {
  for (const key of options.keys()) {
    if (key !== "max-size" && key !== "max-file") {
      throw new CommandFailure(`--log-opt ${key}: known are max-size and max-file`);
    }
  }
  const size = parseBytes("--log-opt max-size", options.get("max-size") ?? "10m");
  return `${size} ${Math.max(1, parseNumber("--log-opt max-file", options.get("max-file") ?? "3"))}`;
}

async function checkName(session: Session, name: string): Promise<void> {
  checkIdentifier("container name", name);
  const taken = await withName(session, name);
  if (taken[0] !== undefined) throw nameTaken(name, taken[0]);
}

async function withName(session: Session, name: string): Promise<Container[]> {
  const all = await session.client.containers([], { signal: session.signal });
  return all.filter(({ id, labels }) => nameOf(labels) === name || id === name);
}

function nameTaken(name: string, { id }: Container): CommandFailure {
  return new CommandFailure(`the name "${name}" is taken by container ${shortId(id)}`, {
    exitCode: 125,
    remedy: `remove that (ctrd rm ${name}), rename it (ctrd rename ${name} …), or use another name`,
  });
}

/** Nothing in the daemon keeps names unique: of two that were made at once the younger gives way. */
async function keepNameUnique(session: Session, container: Container): Promise<void> {
  const name = nameOf(container.labels);
  const [first] = (await withName(session, name)).toSorted((a, b) => age(a) - age(b) || (a.id < b.id ? -1 : 1));
  if (first === undefined || first.id === container.id) return;
  await container.delete({ snapshot: true });
  throw nameTaken(name, first);
}

function age({ record }: Container): number {
  return millisFromTimestamp(record.createdAt);
}

async function imageFor(session: Session, reference: string, flags: CreateFlags): Promise<NamedImage> {
  const { pull = "missing" } = flags;
  if (!["missing", "always", "never"].includes(pull)) {
    throw new CommandFailure(`--pull is missing, always or never, got "${pull}"`, { exitCode: 125 });
  }
  const found = pull === "always" ? undefined : await lookUp(session, reference);
  if (found !== undefined) return found;
  if (pull === "never") return findImage(session, reference);
  completeReference(reference);
  process.stderr.write(`Image "${reference}" is not here; pulling it\n`);
  const { platform, ...others } = flags;
  await pullWithProgress(
    session,
    reference,
    {
      ...(platform === undefined ? {} : { platform: [platform] }),
      ...(others.plainHttp === undefined ? {} : { plainHttp: others.plainHttp }),
      ...(others.skipVerify === undefined ? {} : { skipVerify: others.skipVerify }),
      ...(others.snapshotter === undefined ? {} : { snapshotter: others.snapshotter }),
      ...(others.quiet === undefined ? {} : { quiet: others.quiet }),
    },
    process.stderr,
  );
  return findImage(session, reference);
}

/** The part of the image's configuration that is about containers. */
async function imageConfig(session: Session, image: NamedImage): Promise<unknown> {
  return (await describeImage(session, image.target))?.config["config"];
}

async function imageStopSignal(session: Session, image: NamedImage): Promise<string | undefined> {
  const config = await imageConfig(session, image);
  const signal: unknown =
    typeof config === "object" && config !== null ? (config as { StopSignal?: unknown }).StopSignal : "";
  return typeof signal === "string" && signal !== "" ? signal : undefined;
}

/** Docker's short name of the runtime. */
function runtimeName(text: string): string {
  return text === "runc" ? "io.containerd.runc.v2" : text;
}

function madeUpName(image: string, id: string): string {
  let base = "container";
  try {
    base = parseReference(image).repository.split("/").at(-1) ?? base;
  } catch {
    // Names of images are free text.
  }
  return `${
    base
      .replaceAll(/[^A-Za-z0-9]+/g, "-")
      .replaceAll(/^-+|-+$/g, "")
      .slice(0, 60) || "container"
  }-${id.slice(0, 5)}`;
}

async function writeCidfile(path: string, container: Container): Promise<void> {
  try {
    await writeFile(path, container.id, { flag: "wx" });
  } catch (error) {
    await container.delete({ snapshot: true });
    if (errnoOf(error) !== "EEXIST") throw error;
    throw new CommandFailure(`--cidfile ${path} exists already`, {
      exitCode: 125,
      remedy: "remove it, or use another",
    });
  }
}
