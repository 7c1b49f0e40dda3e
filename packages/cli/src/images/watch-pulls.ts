/**
 * `ctrd pull --watch`: the pulls of the daemon, whoever asked for them.
 *
 * @module
 */
import { isKind } from "@ctrd/core/errors";
import type { Pull } from "@ctrd/core/pulls";
import { pullStates } from "@ctrd/core/pulls";
import type { ProgressListener, TransferStage } from "@ctrd/core/remotes";
import { completeReference } from "@ctrd/core/references";
import { CommandFailure } from "../failure.ts";
import { toJson } from "../output/format.ts";
import { showProgress } from "../output/progress.ts";
import type { ProgressStyle } from "../output/progress.ts";
import type { Session } from "../session.ts";

const stages: ReadonlySet<string> = new Set<TransferStage>([
  ...(["resolving", "waiting", "downloading", "exists", "complete"] as const),
  ...(["extracting", "extracted", "saved", "failed"] as const),
]);

/**
 * Shows pulls that run and those that begin, until it is interrupted; those of one image until one of them has ended.
 *
 * @throws CommandFailure when that one fails
 */
export async function watchPulls(session: Session, image: string | undefined, style: ProgressStyle): Promise<void> {
  const reference = image === undefined ? "" : completeReference(image);
  try {
    await follow(session, reference, style);
  } catch (error) {
    if (!isKind(error, "not-implemented")) throw error;
    throw new CommandFailure("the daemon does not tell of pulls", {
      remedy: "ctrd does, with its plugin @ctrd/pull-progress; containerd does not",
      cause: error,
    });
  }
}

async function follow({ client, ctx }: Session, reference: string, style: ProgressStyle): Promise<void> {
  const pulls = client.services.pullService;
  const changes = pulls.watch(ctx, reference);
  const isQuiet = style.quiet === true || style.json === true;
  if (!isQuiet && (await pulls.list(ctx, reference)).length === 0) {
    process.stderr.write(`waiting for a pull${reference === "" ? "" : ` of ${reference}`}\n`);
  }
  using display = new PullsDisplay(style);
  for await (const pull of flat(changes)) {
    display.show(pull);
    if (reference === "" || pull.state === pullStates.running) continue;
    if (pull.state === pullStates.failed) throw new CommandFailure(pull.error);
    return;
  }
}

async function* flat<T>(batches: AsyncIterable<readonly T[]>): AsyncGenerator<T> {
  for await (const batch of batches) yield* batch;
}

/** Shows pulls as they change. What has ended is not drawn again. */
class PullsDisplay implements Disposable {
  readonly #style: ProgressStyle;
  readonly #running = new Set<string>();
  #display: Disposable & { readonly listener: ProgressListener };

  constructor(style: ProgressStyle) {
    this.#style = style;
    this.#display = showProgress(process.stdout, style);
  }

  show(pull: Pull): void {
    if (this.#style.json === true) {
      process.stdout.write(`${toJson(jsonOf(pull))}\n`);
      return;
    }
    this.#tell(pull);
    if (pull.state === pullStates.running) this.#running.add(pull.id);
    else this.#running.delete(pull.id);
    if (this.#running.size > 0) return;
    this.#display[Symbol.dispose]();
    this.#display = showProgress(process.stdout, this.#style);
  }

  #tell({ reference, namespace, client, stage, state, error, contents }: Pull): void {
    const { listener } = this.#display;
    for (const { name, descriptor, stage: at, offset, servedBy, attempts } of contents) {
      if (!isStage(at)) continue;
      listener({
        ...{ name, stage: at, offset },
        ...(descriptor === undefined ? {} : { descriptor, total: descriptor.size }),
        ...(servedBy === "" ? {} : { served: { host: servedBy, attempts: attempts.map(attemptOf) } }),
      });
    }
    const name = `${reference} (${client} in ${namespace})`;
    if (state === pullStates.failed) listener({ name, stage: "failed", error });
    else if (isStage(stage)) listener({ name, stage });
  }

  [Symbol.dispose](): void {
    this.#display[Symbol.dispose]();
  }
}

function jsonOf({ state, ...pull }: Pull): object {
  const name = Object.entries(pullStates).find(([, number]) => number === state)?.[0];
  return { ...pull, state: name ?? "unknown" };
}

function isStage(stage: string): stage is TransferStage {
  return stages.has(stage);
}

function attemptOf(text: string): { host: string; error: string } {
  const at = text.indexOf(": ");
  return { host: text.slice(0, at), error: text.slice(at + 2) };
}
