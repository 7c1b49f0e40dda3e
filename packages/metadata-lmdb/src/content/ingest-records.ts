import type { CallContext } from "@ctrd/core/context";
import type { IngestRecord } from "../db/records.ts";
import type { Shared } from "../shared.ts";
import { leaveLease } from "../stores/lease-resources.ts";

/** Removes the record of an ingest, within a write transaction. */
export function removeIngest(
  { db }: Shared,
  ctx: CallContext,
  namespace: string,
  ref: string,
  record: IngestRecord,
): void {
  db.ingests.remove(namespace, ref);
  if (record.status.expected !== "") db.sharedIngests.remove(record.status.expected, namespace, ref);
  leaveLease(db, ctx, namespace, "ingests", ref);
}
