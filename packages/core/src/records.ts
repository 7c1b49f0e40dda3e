/**
 * Value types that several components share.
 *
 * They have the shape of the containerd API messages (`@ctrd/api`), so a message is a record and a record is a
 * message: nothing is converted between a gRPC call and a store. Core itself does not import the messages.
 *
 * @module
 */

/** A point in time: seconds since the epoch, and nanoseconds 0–999999999. */
export interface Timestamp {
  seconds: bigint;
  nanos: number;
}

/** A value with its type URL (see `typeurl`). `value` is protobuf or JSON, as the URL says. */
export interface Any {
  typeUrl: string;
  value: Uint8Array;
}

/** An OCI content descriptor. `size` is in bytes. */
export interface Descriptor {
  mediaType: string;
  digest: string;
  size: bigint;
  annotations: Map<string, string>;
}

/** A mount as snapshotters return it and shims perform it. `target` is relative to the root being assembled. */
export interface Mount {
  type: string;
  source: string;
  target: string;
  options: string[];
}

/** An OCI platform. */
export interface Platform {
  os: string;
  architecture: string;
  variant: string;
  osVersion: string;
}

/** Labels of an object. Keys and values are free text; key plus value is at most 4096 bytes. */
export type Labels = Map<string, string>;

/** The current time. */
export function now(): Timestamp {
  return timestampFromMillis(Date.now());
}

/** Converts milliseconds since the epoch. */
export function timestampFromMillis(millis: number): Timestamp {
  const seconds = Math.floor(millis / 1000);
  return { seconds: BigInt(seconds), nanos: Math.round((millis - seconds * 1000) * 1_000_000) };
}

/** Converts to milliseconds since the epoch; an absent timestamp is 0. */
export function millisFromTimestamp(timestamp: Timestamp | undefined): number {
  return timestamp === undefined ? 0 : Number(timestamp.seconds) * 1000 + timestamp.nanos / 1_000_000;
}
