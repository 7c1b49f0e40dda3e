/**
 * The pulls that run in a daemon, whoever asked for them, and how far they are.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { PluginType } from "./plugin/index.ts";
import { pluginType } from "./plugin/index.ts";
import type { Descriptor, Timestamp } from "./records.ts";
import type { ProgressListener } from "./remotes.ts";

/** Whoever pulls in the daemon lets the plugin of this type follow it. */
export const PullsPlugin: PluginType<PullTracker> = pluginType("io.containerd.pulls.v1");

/** States of a pull. */
export const pullStates: { readonly running: 1; readonly complete: 2; readonly failed: 3 } = {
  running: 1,
  complete: 2,
  failed: 3,
};

/** What a pull may be; 0: the daemon says something that this program does not know. */
export type PullState = 0 | 1 | 2 | 3;

/** One pull. */
export interface Pull {
  id: string;
  /** Full name of the image. */
  reference: string;
  namespace: string;
  /** Who pulls: `cri`, `transfer`. */
  client: string;
  /** Where it is unpacked; empty: nowhere, or in several places. */
  snapshotter: string;
  /** One of {@link pullStates}. */
  state: PullState;
  /** What the pull as a whole is at: `resolving`, `fetching`, `saved`. */
  stage: string;
  /** Why it failed. */
  error: string;
  startedAt: Timestamp | undefined;
  endedAt: Timestamp | undefined;
  /** What the reference stands for, once it is known. */
  target: Descriptor | undefined;
  contents: PulledContent[];
  /** Bytes that came from registries. */
  fetchedBytes: bigint;
}

/** One content of a pull. */
export interface PulledContent {
  /** `<kind>-<digest>`. */
  name: string;
  descriptor: Descriptor | undefined;
  /** A stage of `TransferProgress`. */
  stage: string;
  /** Bytes that are there. */
  offset: bigint;
  servedBy: string;
  /** Hosts that were asked before it, each as `<host>: <why not>`. */
  attempts: string[];
}

/** What is known of a pull before it begins. */
export type PullStart = Pick<Pull, "reference" | "client" | "snapshotter">;

/** Shows pulls. */
export interface PullService {
  /**
   * Pulls of all namespaces that run, the oldest first.
   *
   * @param reference full name of an image; empty: all
   * @param ended also those that have ended, as far back as they are kept
   */
  list(ctx: CallContext, reference: string, ended?: boolean): Promise<Pull[]>;
  /**
   * Those that run, whole, and then what changes: pulls with the contents that have changed, of which a slow reader gets
   * the latest only. Registration has happened when the function returns. Ends when `ctx.signal` aborts.
   */
  watch(ctx: CallContext, reference: string): AsyncIterable<Pull[]>;
}

/** Follows pulls. */
export interface PullTracker extends PullService {
  /** Runs a pull, which tells `progress` what it does, and knows of it until some time after its end. */
  follow<T>(ctx: CallContext, start: PullStart, body: (progress: ProgressListener) => Promise<T>): Promise<T>;
}
