/**
 * Stream processors: programs that turn layers of media types that nobody here reads into those that are read.
 *
 * @module
 */
import { Any as AnyMessage } from "@ctrd/api/google/protobuf/any";
import type { CallContext } from "@ctrd/core/context";
import type { StreamProcessor } from "@ctrd/core/diff";
import { failedPrecondition, notImplemented, resourceExhausted } from "@ctrd/core/errors";
import type { Any, Descriptor } from "@ctrd/core/records";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { isReadable, layerTar } from "./media-types.ts";
import { pipeThrough } from "./processor-program.ts";
import { blobPrefix } from "./trees.ts";

/** What running processors needs. */
export interface ProcessorRun {
  readonly layer: Descriptor;
  readonly chain: readonly StreamProcessor[];
  /** By the processors' ids. */
  readonly payloads: ReadonlyMap<string, Any>;
  /** Directory for what they write. */
  readonly temporary: string;
  /** Most bytes that each may write. */
  readonly maxSize: number;
}

/**
 * The processors that a layer passes through, in order; none for a layer that is read as it is. Of those that accept a
 * type the last is taken, as containerd does.
 *
 * @throws ContainerdError `not-implemented` when the layer cannot be read, so that another differ can be asked
 */
export function processorsFor(mediaType: string, processors: readonly StreamProcessor[]): StreamProcessor[] {
  const chain: StreamProcessor[] = [];
  let type = mediaType;
  while (chain.length === 0 || type !== layerTar) {
    const next = processors.findLast((one) => one.accepts.includes(type) && !chain.includes(one));
    if (next === undefined) break;
    chain.push(next);
    type = next.returns;
  }
  if (isReadable(type)) return chain;
  const by = chain.map(({ id }) => `"${id}"`).join(" and ");
  const through = chain.length === 0 ? "" : `, which ${by} makes of "${mediaType}"`;
  const remedy = type.endsWith("+encrypted")
    ? "it is encrypted: name a program that has the key in [stream_processors]"
    : "no program of [stream_processors] accepts it";
  throw notImplemented(`apply layer of media type "${type}"${through}; ${remedy}`);
}

/** Runs `use` with a file that holds what comes out of the last processor. */
export async function withProcessed<T>(
  ctx: CallContext,
  path: string,
  run: ProcessorRun,
  use: (path: string) => Promise<T>,
): Promise<T> {
  if (run.chain.length === 0) return use(path);
  const directory = await mkdtemp(join(run.temporary, blobPrefix));
  try {
    let [input, mediaType] = [path, run.layer.mediaType];
    for (const [index, processor] of run.chain.entries()) {
      const output = join(directory, String(index));
      await runOne(ctx, processor, mediaType, { ...run, input, output });
      if (index > 0) await rm(input);
      [input, mediaType] = [output, processor.returns];
    }
    return await use(input);
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function runOne(
  ctx: CallContext,
  processor: StreamProcessor,
  mediaType: string,
  { layer, payloads, maxSize, input, output }: ProcessorRun & { input: string; output: string },
): Promise<void> {
  const { id, path, args, env } = processor;
  const payload = payloads.get(id);
  const ended = await pipeThrough({
    path,
    args,
    env: [...env, `STREAM_PROCESSOR_MEDIATYPE=${mediaType}`],
    ...(payload === undefined ? {} : { payload: AnyMessage.encode(payload).finish() }),
    input,
    output,
    maxSize,
    signal: ctx.signal,
  });
  const what = `apply layer ${layer.digest} of media type "${layer.mediaType}": stream processor "${id}"`;
  if (ended.kind === "ended") return ctx.log.debug({ layer: layer.digest, processor: id }, "layer processed");
  if (ended.kind === "too large") throw resourceExhausted(`${what} wrote more than ${maxSize} bytes, max_layer_size`);
  const remedy = ended.kind === "failed" ? "" : "; install it, or change [stream_processors]";
  throw failedPrecondition(`${what} (${path}) ${ended.message}${remedy}`);
}
