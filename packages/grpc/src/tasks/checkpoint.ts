import { Any as AnyMessage } from "@ctrd/api/google/protobuf/any";
import { CheckpointOptions, Options as RuncOptions } from "@ctrd/api/types/runc/options/oci";
import type { Container } from "@ctrd/core/containers";
import type { ContentReader, ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { invalidArgument, isKind } from "@ctrd/core/errors";
import type { Any, Descriptor } from "@ctrd/core/records";
import type { CreateTaskRequest, Task } from "@ctrd/core/tasks";
import { isProtoAny } from "@ctrd/core/typeurl";
import { createReadStream } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { mkdir, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runArchiveWorker } from "./archive-worker-client.ts";

/** Media type of a CRIU image as a tar. */
export const checkpointMediaType = "application/vnd.containerd.container.criu.checkpoint.criu.tar";
/** Media type of the spec that goes with it: an encoded Any. */
export const checkpointConfigMediaType = "application/vnd.containerd.container.checkpoint.config.v1+proto";
/** Annotation of a checkpoint descriptor: a directory to restore from, instead of a blob. */
const restoreFromPath = "RestoreFromPath";

const chunkSize = 1 << 20;

/**
 * Checkpoints a task into the content store.
 *
 * @returns descriptors of the CRIU image and of the container's spec; none when `options` names a directory for it
 */
export async function createCheckpoint(
  content: ContentStore,
  ctx: CallContext,
  task: Task,
  container: Container,
  options: Any | undefined,
): Promise<Descriptor[]> {
  const named = isProtoAny(options, "containerd.runc.v1.CheckpointOptions")
    ? CheckpointOptions.decode(options.value).imagePath
    : "";
  if (named !== "") {
    await task.checkpoint(ctx, named, options);
    return [];
  }
  return withTemporaryDirectory("ctrd-checkpoint-", async (directory) => {
    const image = join(directory, "image");
    await mkdir(image, { mode: 0o700 });
    await task.checkpoint(ctx, image, options);
    const tar = join(directory, "image.tar");
    await runArchiveWorker({ operation: "pack", directory: image, path: tar }, ctx.signal);
    const spec = container.spec === undefined ? new Uint8Array(0) : AnyMessage.encode(container.spec).finish();
    return [
      await store(content, ctx, checkpointMediaType, image, createReadStream(tar, { highWaterMark: chunkSize })),
      await store(content, ctx, checkpointConfigMediaType, join(image, "spec"), [spec]),
    ];
  });
}

/**
 * Runs `create` with the directory of the checkpoint that `request` asks to restore, or with undefined when it asks for
 * none. A directory that was unpacked for it is removed afterwards.
 *
 * @throws ContainerdError `invalid-argument` for a checkpoint of another media type
 */
export async function withRestoredCheckpoint<T>(
  content: ContentStore,
  ctx: CallContext,
  request: Pick<CreateTaskRequest, "options" | "checkpoint">,
  create: (directory: string | undefined) => Promise<T>,
): Promise<T> {
  const { options, checkpoint } = request;
  const named = isProtoAny(options, "containerd.runc.v1.Options")
    ? RuncOptions.decode(options.value).criuImagePath
    : "";
  if (named !== "") return create(named);
  if (checkpoint === undefined) return create(undefined);
  const path = checkpoint.annotations.get(restoreFromPath);
  if (path !== undefined && path !== "") return create(path);
  if (checkpoint.mediaType !== checkpointMediaType) {
    throw invalidArgument(`restore task: checkpoint type "${checkpoint.mediaType}" is not ${checkpointMediaType}`);
  }
  return withTemporaryDirectory("ctrd-restore-", async (directory) => {
    const root = join(directory, "image");
    const reader = await content.reader(ctx, checkpoint.digest);
    try {
      const tar = reader.path ?? (await copyToFile(ctx, reader, join(directory, "image.tar")));
      await mkdir(root, { mode: 0o700 });
      await runArchiveWorker({ operation: "unpack", path: tar, directory: root }, ctx.signal);
    } finally {
      await reader.close();
    }
    return create(root);
  });
}

async function store(
  content: ContentStore,
  ctx: CallContext,
  mediaType: string,
  ref: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<Descriptor> {
  const writer = await content.writer(ctx, { ref });
  try {
    for await (const chunk of chunks) await writer.write(chunk);
    const digest = await writer.digest();
    const size = writer.status().offset;
    try {
      await writer.commit(ctx, { size, expected: digest });
    } catch (error) {
      if (!isKind(error, "already-exists")) throw error;
    }
    return { mediaType, digest, size, annotations: new Map() };
  } finally {
    await writer.close();
  }
}

async function copyToFile(ctx: CallContext, reader: ContentReader, path: string): Promise<string> {
  const file: FileHandle = await open(path, "wx", 0o600);
  try {
    for (let offset = 0n; offset < reader.size;) {
      ctx.signal.throwIfAborted();
      const chunk = await reader.read(offset, chunkSize);
      await file.writeFile(chunk);
      offset += BigInt(chunk.length);
    }
  } finally {
    await file.close();
  }
  return path;
}

async function withTemporaryDirectory<T>(prefix: string, work: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(process.env["XDG_RUNTIME_DIR"] ?? tmpdir(), prefix));
  try {
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
