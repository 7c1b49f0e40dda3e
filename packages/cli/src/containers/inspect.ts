import type { Container } from "@ctrd/client";
import { CommandFailure } from "../failure.ts";
import { describeImage } from "../images/describe.ts";
import type { NamedImage } from "../images/find.ts";
import { findImage } from "../images/find.ts";
import { networkFacts } from "../network/container-network.ts";
import type { Column, OutputFlags } from "../output/format.ts";
import { formatRows, toJson } from "../output/format.ts";
import { formatTime } from "../output/quantities.ts";
import type { Session } from "../session.ts";
import { directoryOf } from "./directory.ts";
import { findContainer } from "./find.ts";
import { nameOf, ownLabelPrefix } from "./labels.ts";
import { restartFacts } from "./restart.ts";
import { stateOf } from "./state.ts";

/** Flags of `ctrd inspect`. */
export interface InspectFlags extends Omit<OutputFlags, "json" | "quiet"> {
  type?: string;
}

/** Runs `ctrd inspect`: all that is known of containers and images, as one JSON array. */
export async function inspect(session: Session, names: readonly string[], flags: InspectFlags): Promise<void> {
  const { type } = flags;
  if (type !== undefined && type !== "container" && type !== "image") {
    throw new CommandFailure(`--type is container or image, got "${type}"`);
  }
  const found: Record<string, unknown>[] = [];
  for (const name of names) found.push(await inspectOne(session, name, type));
  if (flags.format === undefined || flags.format === "json") {
    process.stdout.write(`${toJson(found, 2)}\n`);
    return;
  }
  for (const one of found) {
    const columns = Object.keys(one).map((key): Column<Record<string, unknown>> => ({
      name: key,
      value: (row) => row[key],
    }));
    process.stdout.write(formatRows([one], columns, { format: flags.format }));
  }
}

async function inspectOne(
  session: Session,
  name: string,
  type: "container" | "image" | undefined,
): Promise<Record<string, unknown>> {
  if (type === "image") return imageFacts(session, await findImage(session, name));
  try {
    return await containerFacts(session, await findContainer(session, name));
  } catch (error) {
    if (type === "container" || !(error instanceof CommandFailure)) throw error;
  }
  try {
    return await imageFacts(session, await findImage(session, name));
  } catch (error) {
    if (!(error instanceof CommandFailure) || !error.message.startsWith("no image")) throw error;
    throw new CommandFailure(`neither a container nor an image is called "${name}"`, {
      remedy: "list them with: ctrd ps --all; ctrd images",
      cause: error,
    });
  }
}

async function containerFacts(session: Session, container: Container): Promise<Record<string, unknown>> {
  const state = await stateOf(session, container);
  const { id, record, labels } = container;
  return {
    Id: id,
    Name: nameOf(labels),
    Created: formatTime(record.createdAt),
    Image: record.image,
    State: {
      Status: state.state,
      Running: state.state === "running",
      Paused: state.state === "paused",
      Restarting: state.state === "restarting",
      Pid: state.pid,
      ExitCode: state.exitCode ?? 0,
      FinishedAt: state.exitedAt?.toISOString() ?? "",
    },
    ...restartFacts(labels),
    Runtime: record.runtime?.name ?? "",
    Snapshotter: record.snapshotter,
    SnapshotKey: record.snapshotKey,
    LogPath: directoryOf(container) ?? "",
    ...(await networkFacts(container)),
    Labels: Object.fromEntries([...labels].filter(([key]) => !key.startsWith(ownLabelPrefix))),
    Spec: await container.spec(),
  };
}

async function imageFacts(session: Session, image: NamedImage): Promise<Record<string, unknown>> {
  const { name, target, labels, createdAt } = image;
  const facts = await describeImage(session, target);
  return {
    Id: target.digest,
    Name: name,
    Created: formatTime(createdAt),
    Target: target,
    Labels: labels,
    ...(facts === undefined
      ? {}
      : {
          Platform: facts.platform,
          Size: facts.size,
          Manifest: facts.manifestDigest,
          Layers: facts.manifest.layers.map(({ digest, size, mediaType }) => ({ digest, size, mediaType })),
          ChainId: facts.chainId,
          Config: facts.config["config"] ?? {},
          RootFS: facts.diffIds,
        }),
  };
}
