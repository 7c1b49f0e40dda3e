/**
 * CheckpointContainer: what a container's processes are and what they have written, as an archive. The container goes on.
 *
 * | entry | what |
 * |---|---|
 * | `checkpoint/` | the image of the processes, by CRIU |
 * | `rootfs-diff.tar` | what was written to the root file system, a gzip layer |
 * | `config.dump`, `spec.dump`, `status.dump` | the container: what it was made of, its OCI spec, its status |
 * | `status`, `container.log` | the daemon's own status file, and the log |
 * | `stats-dump`, `dump.log` | how long CRIU took, and what it said |
 *
 * @module
 */
import { chmod, copyFile, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import type { CheckpointContainerRequest, CheckpointContainerResponse } from "@ctrd/api/cri/runtime/v1/api";
import type { Client, Task } from "@ctrd/client";
import type { CallContext } from "@ctrd/core/context";
import { untilAborted, withoutCancellation, withSignal } from "@ctrd/core/context";
import { deadlineExceeded, errnoOf, failedPrecondition, internal, invalidArgument, messageOf } from "@ctrd/core/errors";
import { millisFromTimestamp } from "@ctrd/core/records";
import { layerOfSnapshot } from "@ctrd/images";
import type { Cri } from "../store/cri.ts";
import { goJson } from "../store/go-json.ts";
import type { Container } from "./container.ts";
import { runningTask } from "./exec.ts";
import { containerStatus } from "./status-message.ts";

/** Containers of which a checkpoint is being made, or cleaned up. */
const busy = new WeakSet<Container>();

/**
 * Writes a checkpoint of a running container to the path that the request names. When it fails nothing is left; a caller
 * that goes, or whose time is over, does not wait for the clean-up.
 */
export async function checkpointContainer(
  cri: Cri,
  outer: CallContext,
  { containerId, location, timeout }: CheckpointContainerRequest,
): Promise<CheckpointContainerResponse> {
  const container = cri.containers.get(containerId);
  const what = `checkpoint container "${container.id}"`;
  if (!cri.config.enable_criu) throw failedPrecondition(`${what}: enable_criu is false in the runtime table`);
  if (!isAbsolute(location)) throw invalidArgument(`${what}: location "${location}" must be an absolute path`);
  const task = runningTask(container);
  if (busy.has(container))
    throw failedPrecondition(`${what}: another checkpoint of it is being made; wait for its end`);
  busy.add(container);
  const ctx = limited(outer, what, timeout);
  const written = write(cri, ctx, container, task, location).finally(() => busy.delete(container));
  await untilAborted(written, ctx.signal);
  return {};
}

async function write(cri: Cri, ctx: CallContext, container: Container, task: Task, location: string): Promise<void> {
  const directory = join(container.root, "ctrd-checkpoint");
  const partial = `${location}.partial`;
  try {
    // What a daemon before this one has left.
    await rm(directory, { recursive: true, force: true });
    await mkdir(join(directory, "checkpoint"), { recursive: true, mode: 0o700 });
    await cri.client.withLease((leased) => dump(cri, leased, ctx, container, task, directory), { signal: ctx.signal });
    await writeDocuments(cri, ctx, container, directory);
    await cri.client.withLease((leased) => pack(leased, ctx, directory, partial), { signal: ctx.signal });
    await rename(partial, location);
  } finally {
    await rm(directory, { recursive: true, force: true });
    await rm(partial, { force: true });
  }
}

/** @param seconds 0: for ever */
function limited(ctx: CallContext, what: string, seconds: bigint): CallContext {
  if (seconds <= 0n) return ctx;
  const late = new AbortController();
  setTimeout(
    () => late.abort(deadlineExceeded(`${what}: not done within ${seconds} s`)),
    Number(seconds) * 1000,
  ).unref();
  return withSignal(ctx, late.signal);
}

/** The processes, and what was written, of the same moment: they stand still meanwhile. */
async function dump(
  cri: Cri,
  client: Client,
  ctx: CallContext,
  { id, snapshotter }: Container,
  task: Task,
  directory: string,
): Promise<void> {
  const signal = ctx.signal;
  await task.pause({ signal });
  try {
    const paths = { imagePath: join(directory, "checkpoint"), workPath: directory };
    await task.checkpoint({ signal, ...paths }).catch(async (error: unknown) => {
      throw await explained(id, error, directory);
    });
    const { diffService: comparer } = client.services;
    const layer = await layerOfSnapshot(client.context({ signal }), {
      comparer,
      snapshotter: client.snapshotter(snapshotter),
      key: id,
    });
    await writeBlob(client, ctx, layer.digest, join(directory, "rootfs-diff.tar"));
  } finally {
    await task.resume({ signal: withoutCancellation(ctx).signal }).catch((error: unknown) => {
      cri.log.error({ container: id, err: messageOf(error) }, "cannot resume a container after its checkpoint");
    });
  }
}

/** The runtime says little of why CRIU failed; its log says it. */
async function explained(id: string, error: unknown, directory: string): Promise<Error> {
  const log = await readOrEmpty(join(directory, "dump.log"));
  const reason = log.split("\n").find((line) => line.includes("Error ("));
  const said = reason === undefined ? "" : `; CRIU says: ${reason.replace(/^\([\d.]+\)\s*/, "").trim()}`;
  return internal(
    `checkpoint container "${id}": ${messageOf(error)}${said}; is there a CRIU for this kernel ("criu check" tells)?`,
    { cause: error },
  );
}

async function writeDocuments(cri: Cri, ctx: CallContext, container: Container, directory: string): Promise<void> {
  const record = await cri.client.services.containerService.get(ctx, container.id);
  const status = containerStatus(container, cri.images);
  const image = status.image?.image ?? "";
  const config = {
    id: container.id,
    name: container.metadata.name,
    rootfsImage: image,
    rootfsImageRef: status.imageRef,
    rootfsImageName: image,
    runtime: record.runtime?.name ?? "",
    createdTime: new Date(millisFromTimestamp(record.createdAt)).toISOString(),
    checkpointedTime: new Date().toISOString(),
    restoredTime: "0001-01-01T00:00:00Z",
    restored: false,
  };
  const write = (name: string, data: string | Uint8Array): Promise<void> =>
    writeFile(join(directory, name), data, { mode: 0o600 });
  await write("config.dump", JSON.stringify(config));
  await write("spec.dump", record.spec?.value ?? "{}");
  await write("status.dump", JSON.stringify(goJson(status)));
  await copyIfThere(join(container.root, "status"), join(directory, "status"));
  if (status.logPath !== "") await copyIfThere(status.logPath, join(directory, "container.log"));
}

/** Packs a directory: as a layer on nothing, which a worker of the differ does. */
async function pack(client: Client, ctx: CallContext, directory: string, path: string): Promise<void> {
  const source = { type: "bind", source: directory, target: "", options: ["rbind", "ro"] };
  const layer = await client.services.diffService.compare(client.context({ signal: ctx.signal }), [], [source], {
    mediaType: "application/vnd.oci.image.layer.v1.tar",
  });
  await writeBlob(client, ctx, layer.digest, path);
}

async function writeBlob(client: Client, ctx: CallContext, digest: string, path: string): Promise<void> {
  const reader = await client.content.reader(client.context({ signal: ctx.signal }), digest);
  try {
    if (reader.path === undefined) throw internal(`content ${digest} is not in a file of this machine`);
    await copyFile(reader.path, path);
    await chmod(path, 0o600);
  } finally {
    await reader.close();
  }
}

async function copyIfThere(from: string, to: string): Promise<void> {
  try {
    await copyFile(from, to);
    await chmod(to, 0o600);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    return "";
  }
}
