/**
 * The differ: plans, hands the work to a worker thread, and moves the result.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, open, rm } from "node:fs/promises";
import { join } from "node:path";
import type { LayerLimits } from "@ctrd/archive";
import type { ContentReader, ContentStore, ContentWriter } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { withoutCancellation } from "@ctrd/core/context";
import type { ApplyOptions, CompareOptions, Differ, StreamProcessor } from "@ctrd/core/diff";
import { isKind, messageOf } from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import type { Descriptor, Mount } from "@ctrd/core/records";
import type { CompareJob } from "./jobs.ts";
import { layerTar, layerTarGzip, writableCompression } from "./media-types.ts";
import { planApply, planCompare } from "./mount-plan.ts";
import { processorsFor, withProcessed } from "./stream-processors.ts";
import { blobPrefix, cleanTemporary } from "./trees.ts";
import { WorkerPool } from "./worker-pool.ts";

/** Options of {@link openWalkingDiffer}. */
export interface WalkingDifferOptions {
  /** Where layers come from and go to. */
  content: ContentStore;
  /** Directory for temporary mounts and files; what is left in it from before is removed. */
  temporary: string;
  /** Most worker threads. */
  workers: number;
  /** Milliseconds an idle worker is kept; a minute by default. */
  idleTime?: number;
  /** Limits for layers that are applied. */
  limits?: LayerLimits;
  /** Programs that layers of some media types are passed through; none by default. */
  processors?: readonly StreamProcessor[];
}

/** A differ with worker threads behind it. */
export interface WalkingDiffer extends Differ {
  close(): Promise<void>;
}

const uncompressedLabel = "containerd.io/uncompressed";
const copySize = 1 << 20;

/** Opens a differ. */
export async function openWalkingDiffer(options: WalkingDifferOptions): Promise<WalkingDiffer> {
  await mkdir(options.temporary, { recursive: true, mode: 0o700 });
  cleanTemporary(options.temporary);
  return new WorkerDiffer(options);
}

class WorkerDiffer implements WalkingDiffer {
  readonly #options: WalkingDifferOptions;
  readonly #pool: WorkerPool;

  constructor(options: WalkingDifferOptions) {
    this.#options = options;
    this.#pool = new WorkerPool({ size: options.workers, idleTime: options.idleTime ?? 60_000 });
  }

  async apply(
    ctx: CallContext,
    diff: Descriptor,
    mounts: readonly Mount[],
    options: ApplyOptions = {},
  ): Promise<Descriptor> {
    const chain = processorsFor(diff.mediaType, this.#options.processors ?? []);
    const target = planApply(mounts);
    FAILPOINT: if (failpoints.on) await failpoints.at("diff.apply");
    const started = performance.now();
    const reader = await this.#options.content.reader(ctx, diff.digest);
    try {
      const { temporary, limits = {} } = this.#options;
      const payloads = options.payloads ?? new Map();
      const processing = { layer: diff, chain, payloads, temporary, maxSize: limits.maxSize ?? Infinity };
      const applied = await this.#withFile(ctx, reader, (blob) =>
        withProcessed(ctx, blob, processing, (path) =>
          this.#pool.run(
            { kind: "apply", path, target, temporary, syncFs: options.syncFs ?? false, limits },
            {
              signal: ctx.signal,
              onWarning: (message) => ctx.log.warn({ layer: diff.digest }, message),
              onProgress: (size) => ctx.log.debug({ layer: diff.digest, size }, "applying layer"),
            },
          ),
        ),
      );
      const duration = Math.round(performance.now() - started);
      ctx.log.debug({ layer: diff.digest, ...applied, duration }, "layer applied");
      return { mediaType: layerTar, digest: applied.digest, size: BigInt(applied.size), annotations: new Map() };
    } finally {
      await reader.close();
    }
  }

  async compare(
    ctx: CallContext,
    lower: readonly Mount[],
    upper: readonly Mount[],
    options: CompareOptions = {},
  ): Promise<Descriptor> {
    const mediaType = options.mediaType === undefined || options.mediaType === "" ? layerTarGzip : options.mediaType;
    const compression = writableCompression(mediaType);
    const { temporary } = this.#options;
    const job: CompareJob = { kind: "compare", plan: planCompare(lower, upper), temporary, compression };
    if (options.sourceDateEpoch !== undefined) job.latestTime = Number(options.sourceDateEpoch.seconds);
    const given = options.reference ?? "";
    const ref = given === "" ? randomReference() : given;
    const writer = await this.#options.content.writer(ctx, { ref });
    try {
      if (given !== "") await writer.truncate(0n);
      const digest = await this.#write(ctx, job, writer, options);
      const { size } = await this.#options.content.info(ctx, digest);
      return { mediaType, digest, size, annotations: new Map() };
    } catch (error) {
      await this.#close(ctx, writer);
      // A ref that the caller chose is the caller's to resume or abort.
      if (given === "") await this.#abort(ctx, ref);
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }

  /** Runs the job into `writer` and commits; the digest of the result. */
  async #write(ctx: CallContext, job: CompareJob, writer: ContentWriter, options: CompareOptions): Promise<string> {
    const started = performance.now();
    const written = await this.#pool.run(job, { signal: ctx.signal, onChunk: (data) => writer.write(data) });
    const labels = new Map(options.labels);
    if (job.compression !== "none") labels.set(uncompressedLabel, written.diffId);
    const digest = await writer.digest();
    const duration = Math.round(performance.now() - started);
    ctx.log.debug({ digest, ...written, duration }, "difference written");
    try {
      await writer.commit(ctx, { labels });
    } catch (error) {
      if (!isKind(error, "already-exists")) throw error;
      await this.#labelExisting(ctx, digest, labels.get(uncompressedLabel));
    }
    return digest;
  }

  /** The same blob was there before, perhaps without knowing what it is uncompressed. */
  async #labelExisting(ctx: CallContext, digest: string, diffId: string | undefined): Promise<void> {
    if (diffId === undefined) return;
    const info = await this.#options.content.info(ctx, digest);
    if (info.labels.has(uncompressedLabel)) return;
    info.labels.set(uncompressedLabel, diffId);
    await this.#options.content.update(ctx, info, [`labels.${uncompressedLabel}`]);
  }

  /** Closes the writer of a failed compare; that it cannot be closed is not the caller's error. */
  async #close(ctx: CallContext, writer: ContentWriter): Promise<void> {
    try {
      await writer.close();
    } catch (error) {
      ctx.log.warn(
        { ref: writer.status().ref, error: messageOf(error) },
        "cannot close the ingest of a failed compare",
      );
    }
  }

  async #abort(ctx: CallContext, ref: string): Promise<void> {
    try {
      await this.#options.content.abort(withoutCancellation(ctx), ref);
    } catch (error) {
      // Gone already: a commit that finds the blob in the store removes the ingest.
      if (!isKind(error, "not-found"))
        ctx.log.warn({ ref, error: messageOf(error) }, "cannot abort the ingest of a failed compare");
    }
  }

  /** Runs `use` with a file that holds the blob: the store's own, or a copy. */
  async #withFile<T>(ctx: CallContext, reader: ContentReader, use: (path: string) => Promise<T>): Promise<T> {
    if (reader.path !== undefined) return use(reader.path);
    const directory = await mkdtemp(join(this.#options.temporary, blobPrefix));
    try {
      const path = join(directory, "layer");
      await copyTo(ctx, reader, path);
      return await use(path);
    } finally {
      await rm(directory, { recursive: true });
    }
  }
}

async function copyTo(ctx: CallContext, reader: ContentReader, path: string): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    let offset = 0n;
    while (offset < reader.size) {
      ctx.signal.throwIfAborted();
      const data = await reader.read(offset, copySize);
      if (data.length === 0) break;
      await file.writeFile(data);
      offset += BigInt(data.length);
    }
  } finally {
    await file.close();
  }
}

/** As containerd names them: time in nanoseconds and a little chance. */
function randomReference(): string {
  const nanos = BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n);
  return `${nanos}-${randomBytes(3).toString("base64url")}`;
}
