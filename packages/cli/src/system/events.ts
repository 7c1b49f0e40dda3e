import type { Any } from "@ctrd/core/records";
import { typeName } from "@ctrd/core/typeurl";
import type { Envelope } from "@ctrd/core/events";
import type { Column, OutputFlags } from "../output/format.ts";
import { formatRows, toJson } from "../output/format.ts";
import { formatTime } from "../output/quantities.ts";
import type { Session } from "../session.ts";
import { decodeEvent } from "./event-messages.ts";

/** Flags of `ctrd events`. */
export interface EventsFlags extends OutputFlags {
  filter?: string[];
  allNamespaces?: boolean;
}

const columns: readonly Column<Envelope>[] = [
  { name: "Time", title: "TIME", value: ({ timestamp }) => formatTime(timestamp) },
  { name: "Namespace", title: "NAMESPACE", value: ({ namespace }) => namespace },
  { name: "Topic", title: "TOPIC", value: ({ topic }) => topic },
  { name: "Event", title: "EVENT", value: ({ event }) => eventOf(event), text: ({ event }) => toJson(eventOf(event)) },
];

/** Runs `ctrd events`: prints events as they come, until it is interrupted. */
export async function followEvents(session: Session, flags: EventsFlags): Promise<void> {
  const { ctx } = session;
  const filters = flags.filter ?? (flags.allNamespaces === true ? [] : [`namespace==${ctx.namespace}`]);
  try {
    for await (const envelope of session.client.subscribe(filters, { signal: ctx.signal })) {
      const [line = ""] = formatRows([envelope], columns, flags).split("\n").slice(-2);
      process.stdout.write(`${line}\n`);
    }
  } catch (error) {
    // Interrupted: as it should end.
    if (!ctx.signal.aborted) throw error;
  }
}

/** The fields of an event; events of others as they are. */
function eventOf(event: Any | undefined): unknown {
  if (event === undefined) return null;
  return decodeEvent(typeName(event.typeUrl), event.value) ?? { typeUrl: event.typeUrl, value: event.value };
}
