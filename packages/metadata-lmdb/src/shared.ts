/**
 * What the parts of the metadata store share.
 */
import type { CallContext } from "@ctrd/core/context";
import { withNamespace } from "@ctrd/core/context";
import { messageOf } from "@ctrd/core/errors";
import type { EventPublisher } from "@ctrd/core/events";
import type { Logger } from "@ctrd/core/log";
import { protoAny } from "@ctrd/core/typeurl";
import type { MetadataDb } from "./db/database.ts";
import type { Codec } from "./db/table.ts";
import type { Pins } from "./db/pins.ts";
import type { Garbage } from "./gc/garbage.ts";

/** The one database and the state in memory beside it. */
export interface Shared {
  readonly db: MetadataDb;
  readonly pins: Pins;
  readonly garbage: Garbage;
  readonly log: Logger;
  readonly events: EventPublisher | undefined;
}

/** Pin keys: backend objects of different kinds do not meet. */
export const blobPin = (digest: string): string => `blob\0${digest}`;
export const ingestPin = (backendRef: string): string => `ingest\0${backendRef}`;
export const snapshotPin = (snapshotter: string, backendKey: string): string =>
  `snapshot\0${snapshotter}\0${backendKey}`;

/**
 * Publishes an event about something that is on disk already; a failure is logged, since the call has succeeded.
 *
 * @param name full name of the message, for example `containerd.events.ContentCreate`
 */
export async function publish<T>(
  shared: Shared,
  ctx: CallContext,
  namespace: string,
  event: { topic: string; name: string; codec: Codec<T>; message: T },
): Promise<void> {
  if (shared.events === undefined) return;
  try {
    const any = protoAny(event.name, event.codec.encode(event.message).finish());
    await shared.events.publish(withNamespace(ctx, namespace), event.topic, any);
  } catch (error) {
    shared.log.warn({ topic: event.topic, namespace, error: messageOf(error) }, "publish metadata event");
  }
}
