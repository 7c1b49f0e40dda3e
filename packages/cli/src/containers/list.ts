import type { Container } from "@ctrd/client";
import { isKind } from "@ctrd/core/errors";
import { millisFromTimestamp } from "@ctrd/core/records";
import { shortReference } from "@ctrd/core/references";
import { CommandFailure } from "../failure.ts";
import { publishedText } from "../network/container-network.ts";
import { labelsText } from "../output/assignments.ts";
import type { Column, OutputFlags } from "../output/format.ts";
import { formatRows } from "../output/format.ts";
import { formatAge, formatTime } from "../output/quantities.ts";
import type { Session } from "../session.ts";
import { nameOf, ownLabelPrefix, shortId } from "./labels.ts";
import type { ContainerState } from "./state.ts";
import { describeState, stateOf } from "./state.ts";

/** Flags of `ctrd ps`. */
export interface ListFlags extends OutputFlags {
  all?: boolean;
  noTrunc?: boolean;
  filter?: string[];
  last?: number;
  latest?: boolean;
}

interface Row {
  readonly container: Container;
  readonly state: ContainerState;
  readonly status: string;
  readonly command: string;
}

/** Runs `ctrd ps`. */
export async function listContainers(session: Session, flags: ListFlags): Promise<void> {
  const last = flags.latest === true ? 1 : flags.last;
  const chosen = filterOf(flags.filter ?? []);
  const containers = (await session.client.containers([], { signal: session.signal })).toSorted(
    (a, b) => millisFromTimestamp(b.record.createdAt) - millisFromTimestamp(a.record.createdAt),
  );
  const rows: Row[] = [];
  for (const container of containers.slice(0, last)) {
    const row = await rowOf(session, container);
    const runs = row !== undefined && ["running", "paused"].includes(row.state.state);
    const shown = runs || flags.all === true || last !== undefined || (flags.filter ?? []).some(isAboutState);
    if (row !== undefined && shown && chosen(row)) rows.push(row);
  }
  process.stdout.write(formatRows(rows, columnsFor(flags), flags));
}

async function rowOf(session: Session, container: Container): Promise<Row | undefined> {
  try {
    const [state, command] = [await stateOf(session, container), await commandOf(container)];
    return { container, state, status: await describeState(state), command };
  } catch (error) {
    // Removed in between.
    if (isKind(error, "not-found")) return undefined;
    throw error;
  }
}

async function commandOf(container: Container): Promise<string> {
  try {
    return ((await container.spec()).process?.args ?? []).join(" ");
  } catch (error) {
    // Containers of other runtimes have specs of their own.
    if (isKind(error, "failed-precondition")) return "";
    throw error;
  }
}

function isAboutState(filter: string): boolean {
  return filter.startsWith("status=");
}

/** Docker's filters: all that are given must fit. */
function filterOf(filters: readonly string[]): (row: Row) => boolean {
  const tests = filters.map((filter): ((row: Row) => boolean) => {
    const [, key = "", value = ""] = /^(\w+)=(.*)$/.exec(filter) ?? [];
    switch (key) {
      case "name":
        return ({ container }) => nameOf(container.labels).includes(value);
      case "id":
        return ({ container }) => container.id.startsWith(value);
      case "status":
        return ({ state }) => state.state === value;
      case "ancestor":
        return ({ container: { record } }) => [record.image, shortReference(record.image)].includes(value);
      case "label": {
        const [name = "", wanted] = value.split("=");
        return ({ container: { labels } }) => labels.has(name) && (wanted === undefined || labels.get(name) === wanted);
      }
      default:
        throw new CommandFailure(`--filter ${filter}: known are name=, id=, status=, ancestor=, label=`);
    }
  });
  return (row) => tests.every((test) => test(row));
}

const commandWidth = 20;

function columnsFor({ noTrunc = false }: ListFlags): Column<Row>[] {
  return [
    {
      name: "ID",
      title: "CONTAINER ID",
      value: ({ container }) => container.id,
      text: ({ container }) => (noTrunc ? container.id : shortId(container.id)),
    },
    {
      name: "Image",
      title: "IMAGE",
      value: ({ container }) => container.record.image,
      text: ({ container }) => shortReference(container.record.image),
    },
    {
      name: "Command",
      title: "COMMAND",
      value: ({ command }) => command,
      text: ({ command }) =>
        JSON.stringify(noTrunc || command.length <= commandWidth ? command : `${command.slice(0, commandWidth - 1)}…`),
    },
    {
      name: "CreatedAt",
      title: "CREATED",
      value: ({ container }) => formatTime(container.record.createdAt),
      text: ({ container }) => formatAge(container.record.createdAt),
    },
    { name: "Status", title: "STATUS", value: ({ status }) => status },
    {
      name: "Ports",
      title: "PORTS",
      value: ({ container, state }) => (["running", "paused"].includes(state.state) ? publishedText(container) : ""),
    },
    { name: "Names", title: "NAMES", value: ({ container }) => nameOf(container.labels) },
    { name: "State", value: ({ state }) => state.state },
    { name: "PID", value: ({ state }) => state.pid },
    { name: "ExitCode", value: ({ state }) => state.exitCode ?? null },
    {
      name: "Labels",
      value: ({ container }) => userLabels(container),
      text: ({ container }) => labelsText(userLabels(container)),
    },
    { name: "Snapshotter", value: ({ container }) => container.record.snapshotter },
    { name: "Runtime", value: ({ container }) => container.record.runtime?.name ?? "" },
  ];
}

function userLabels({ labels }: Container): Map<string, string> {
  return new Map([...labels].filter(([key]) => !key.startsWith(ownLabelPrefix)));
}
