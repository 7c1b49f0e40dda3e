import type { CallContext } from "@ctrd/core/context";
import type { Labels, Timestamp } from "@ctrd/core/records";

/** What every record has. */
export interface AnyRecord {
  labels: Labels;
  createdAt: Timestamp | undefined;
  updatedAt?: Timestamp | undefined;
}

/** How one kind of record is made, found and changed, for the tests that are the same for all kinds. */
export interface RecordKind<S, R extends AnyRecord> {
  /** In messages and names of tests. */
  readonly noun: string;
  /** Field of filters that names the record. */
  readonly idField: string;
  make(id: string, labels?: Labels): R;
  idOf(record: R): string;
  create(store: S, ctx: CallContext, record: R): Promise<R>;
  list(store: S, ctx: CallContext, filters: readonly string[]): Promise<R[]>;
  delete(store: S, ctx: CallContext, id: string): Promise<void>;
  /** Absent when the store reads records by listing only. */
  get?(store: S, ctx: CallContext, id: string): Promise<R>;
  /** Absent when records do not change. */
  update?(store: S, ctx: CallContext, record: R, mask: readonly string[]): Promise<R>;
}
