import { TaskExit } from "@ctrd/api/events/task";
import type { CallContext } from "@ctrd/core/context";
import type { Envelope, EventService } from "@ctrd/core/events";
import type { Any } from "@ctrd/core/records";
import { protoAny } from "@ctrd/core/typeurl";

/** An event service under test. */
export interface OpenedEvents {
  events: EventService;
  /** Given to every call; it has a namespace. */
  ctx: CallContext;
  close(): Promise<void>;
}

/** Opens an event service without subscribers. */
export type OpenEvents = () => Promise<OpenedEvents>;

/** Makes test bodies; each test gets a service of its own. */
export type WithEvents = (body: (opened: OpenedEvents) => Promise<void>) => () => Promise<void>;

export function eventHarness(open: OpenEvents): WithEvents {
  return (body) => async () => {
    const opened = await open();
    try {
      await body(opened);
    } finally {
      await opened.close();
    }
  };
}

/** A TaskExit of a container. */
export function exitOf(containerId: string): Any {
  return protoAny("containerd.events.TaskExit", TaskExit.encode(TaskExit.create({ containerId, id: "e" })).finish());
}

/** The container of a {@link exitOf}. */
export function containerOf(envelope: Envelope): string {
  return TaskExit.decode(envelope.event?.value ?? new Uint8Array()).containerId;
}

/** The next `count` envelopes; fewer when the subscription ends. Then the subscription is left. */
export async function take(subscription: AsyncIterable<Envelope>, count: number): Promise<Envelope[]> {
  const taken: Envelope[] = [];
  for await (const envelope of subscription) {
    taken.push(envelope);
    if (taken.length === count) break;
  }
  return taken;
}

/** Containers of the TaskExits up to the one of container `last`, which stays out. */
export async function containersUntil(subscription: AsyncIterable<Envelope>, last: string): Promise<string[]> {
  const ids: string[] = [];
  for await (const envelope of subscription) {
    const id = containerOf(envelope);
    if (id === last) break;
    ids.push(id);
  }
  return ids;
}
