/** What is known of one pull. */
import { randomBytes } from "node:crypto";
import { messageOf } from "@ctrd/core/errors";
import type { Pull, PulledContent, PullStart } from "@ctrd/core/pulls";
import { pullStates } from "@ctrd/core/pulls";
import { now } from "@ctrd/core/records";
import type { TransferProgress } from "@ctrd/core/remotes";

/** Stages of the pull as a whole. */
const wholeStages: ReadonlySet<string> = new Set(["resolving", "resolved", "saved"]);

/** A pull that is followed. It counts its changes, so that each watcher finds those that it has not seen. */
export class FollowedPull {
  readonly #pull: Pull;
  readonly #contents = new Map<string, { readonly content: PulledContent; readonly change: number }>();
  #change = 0;

  constructor(start: PullStart, namespace: string) {
    this.#pull = {
      ...start,
      ...{ id: randomBytes(8).toString("hex"), namespace, state: pullStates.running, stage: "resolving", error: "" },
      ...{ startedAt: now(), endedAt: undefined, target: undefined, contents: [], fetchedBytes: 0n },
    };
  }

  get reference(): string {
    return this.#pull.reference;
  }

  get isRunning(): boolean {
    return this.#pull.state === pullStates.running;
  }

  /** How many changes there have been. */
  get change(): number {
    return this.#change;
  }

  /** Takes what the pull tells. @returns bytes that have come since it told last */
  note({ stage, name, descriptor, offset, served, error }: TransferProgress): bigint {
    this.#change++;
    if (wholeStages.has(stage)) {
      this.#pull.stage = stage === "resolved" ? "fetching" : stage;
      this.#pull.target = descriptor ?? this.#pull.target;
      return 0n;
    }
    const known = this.#contents.get(name)?.content;
    const here = offset ?? (isHere(stage) ? descriptor?.size : undefined) ?? known?.offset ?? 0n;
    const content = {
      ...{ name, stage, offset: here, descriptor: descriptor ?? known?.descriptor },
      servedBy: served?.host ?? known?.servedBy ?? "",
      attempts: served?.attempts.map((one) => `${one.host}: ${one.error}`) ?? known?.attempts ?? [],
    };
    this.#contents.set(name, { content, change: this.#change });
    if (error !== undefined) this.#pull.error ||= error;
    // Of an ingest that is gone on with, the first report has what was there before.
    const isNew = stage === "downloading" || (stage === "complete" && known?.stage === "downloading");
    const fetched = isNew && known !== undefined && here > known.offset ? here - known.offset : 0n;
    this.#pull.fetchedBytes += fetched;
    return fetched;
  }

  /** Notes the end. @param failure why it failed; absent when it did not */
  end(failure?: { readonly error: unknown }): void {
    this.#change++;
    this.#pull.state = failure === undefined ? pullStates.complete : pullStates.failed;
    this.#pull.error = failure === undefined ? "" : messageOf(failure.error);
    this.#pull.endedAt = now();
  }

  /** The pull, with those contents that have changed after a number of changes. */
  since(change: number): Pull {
    const changed = [...this.#contents.values()].filter((one) => one.change > change);
    return { ...this.#pull, contents: changed.map(({ content }) => content) };
  }
}

function isHere(stage: string): boolean {
  return ["exists", "complete", "extracting", "extracted"].includes(stage);
}
