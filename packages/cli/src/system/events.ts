/**
 * `ctrd events`: what happens, and what has happened.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Envelope, EventReplay } from "@ctrd/core/events";
import { EventPlugin } from "@ctrd/core/events";
import { isKind } from "@ctrd/core/errors";
import type { Any } from "@ctrd/core/records";
import { timestampFromMillis } from "@ctrd/core/records";
import { typeName } from "@ctrd/core/typeurl";
import { CommandFailure } from "../failure.ts";
import type { Column, OutputFlags } from "../output/format.ts";
import { formatRows, toJson } from "../output/format.ts";
import { formatTime } from "../output/quantities.ts";
import { parseTime } from "../output/times.ts";
import type { Session } from "../session.ts";
import { decodeEvent } from "./event-messages.ts";

/** Flags of `ctrd events`. */
export interface EventsFlags extends OutputFlags {
  filter?: string[];
  allNamespaces?: boolean;
  since?: string;
  until?: string;
}

const columns: readonly Column<Envelope>[] = [
  { name: "Time", title: "TIME", value: ({ timestamp }) => formatTime(timestamp) },
  { name: "Namespace", title: "NAMESPACE", value: ({ namespace }) => namespace },
  { name: "Topic", title: "TOPIC", value: ({ topic }) => topic },
  { name: "Event", title: "EVENT", value: ({ event }) => eventOf(event), text: ({ event }) => toJson(eventOf(event)) },
  { name: "Sequence", value: ({ sequence }) => sequence ?? null },
];

/** How long a daemon that has gone is waited for, and how often is looked, in milliseconds. */
const patienceMs = 60_000;
const retryMs = 250;

/** Runs `ctrd events`: prints events, kept ones first when asked for, until it is interrupted or `--until` has come. */
export async function followEvents(session: Session, flags: EventsFlags): Promise<void> {
  const [since, until] = [parseTime("--since", flags.since), parseTime("--until", flags.until)];
  const isKept = await keepsHistory(session);
  if (since !== undefined && !isKept) {
    throw new CommandFailure("the daemon keeps no events of the past", {
      remedy: 'ctrd does, unless history = false in [plugins."io.containerd.event.v1.exchange"]; containerd does not',
    });
  }
  const times = {
    ...(since === undefined ? {} : { since: at(since) }),
    ...(until === undefined ? {} : { until: at(until) }),
  };
  const following = new Following(session, flags, { isKept, startedAt: Date.now(), until });
  await following.run(times);
}

const at = timestampFromMillis;

/** What a run of the command knows. */
interface Known {
  readonly isKept: boolean;
  readonly startedAt: number;
  readonly until: number | undefined;
}

/** A subscription that goes on where it was when the connection was lost. */
class Following {
  readonly #session: Session;
  readonly #flags: EventsFlags;
  readonly #known: Known;
  #last: bigint | undefined;
  #lostAt: number | undefined;

  constructor(session: Session, flags: EventsFlags, known: Known) {
    [this.#session, this.#flags, this.#known] = [session, flags, known];
  }

  async run(times: EventReplay): Promise<void> {
    let replay = times;
    while (!(await this.#follow(replay))) {
      await sleep(retryMs, undefined, { signal: this.#session.signal }).catch(() => {});
      const from = this.#last === undefined ? (times.since ?? at(this.#known.startedAt)) : undefined;
      replay = { until: times.until, ...(from === undefined ? { after: this.#last } : { since: from }) };
    }
  }

  /** True when it has ended as it should. */
  async #follow(replay: EventReplay): Promise<boolean> {
    const { ctx, client } = this.#session;
    const { filter, allNamespaces = false } = this.#flags;
    const filters = filter ?? (allNamespaces ? [] : [`namespace==${ctx.namespace}`]);
    const { until } = this.#known;
    // A containerd does not know when to end.
    const end =
      until === undefined || this.#known.isKept ? undefined : AbortSignal.timeout(Math.max(0, until - Date.now()));
    const signal = end === undefined ? ctx.signal : AbortSignal.any([ctx.signal, end]);
    try {
      for await (const envelope of client.subscribe(filters, { signal, ...replay })) this.#print(envelope);
    } catch (error) {
      // Interrupted: as it should end.
      if (signal.aborted) return true;
      return this.#goOn(error);
    }
    if (signal.aborted || (until !== undefined && Date.now() >= until)) return true;
    return this.#goOn(new CommandFailure("the daemon has ended the subscription"));
  }

  #print(envelope: Envelope): void {
    this.#lostAt = undefined;
    this.#last = envelope.sequence ?? this.#last;
    const [line = ""] = formatRows([envelope], columns, this.#flags).split("\n").slice(-2);
    process.stdout.write(`${line}\n`);
  }

  /** False when it is worth another try. @throws the error when it is not */
  #goOn(error: unknown): false {
    const isPassing =
      isKind(error, "unavailable") || isKind(error, "resource-exhausted") || error instanceof CommandFailure;
    if (!this.#known.isKept || !isPassing) throw error;
    if (this.#lostAt === undefined) {
      process.stderr.write("ctrd: the connection was lost; events go on where they stopped\n");
      this.#lostAt = Date.now();
    }
    if (Date.now() - this.#lostAt > patienceMs) throw error;
    return false;
  }
}

/** Whether events of the past can be had. */
async function keepsHistory({ client, signal }: Session): Promise<boolean> {
  const [exchange] = await client.plugins([`type==${EventPlugin.name},id==exchange`], { signal });
  const history = exchange?.meta.exports.get("history") ?? "off";
  return history !== "off";
}

/** The fields of an event; events of others as they are. */
function eventOf(event: Any | undefined): unknown {
  if (event === undefined) return null;
  return decodeEvent(typeName(event.typeUrl), event.value) ?? { typeUrl: event.typeUrl, value: event.value };
}
