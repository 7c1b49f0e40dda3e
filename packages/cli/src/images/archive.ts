/**
 * Images in files: `save` and `load`.
 *
 * @module
 */
import { createReadStream, createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip, createZstdCompress } from "node:zlib";
import { completeReference, shortReference } from "@ctrd/core/references";
import { CommandFailure } from "../failure.ts";
import type { Session } from "../session.ts";
import { findImage } from "./find.ts";
import { matcherOf } from "./pull.ts";
import { chosenSnapshotter } from "./snapshotter.ts";

/** Flags of `ctrd save`. */
export interface SaveFlags {
  output?: string;
  platform?: string[];
  allPlatforms?: boolean;
  compress?: string | true;
}

/** Runs `ctrd save`. A file is there whole or not at all. */
export async function save(session: Session, names: readonly string[], flags: SaveFlags): Promise<void> {
  const { output, platform } = flags;
  const { signal } = session;
  if (output === undefined && process.stdout.isTTY) {
    throw new CommandFailure("an archive is nothing for a terminal", { remedy: "use --output FILE, or a pipe" });
  }
  if (![undefined, true, "zstd", "gzip"].includes(flags.compress)) {
    throw new CommandFailure(`--compress is zstd or gzip, got "${String(flags.compress)}"`);
  }
  const images = [];
  for (const name of names) images.push((await findImage(session, name)).name);
  const archive = session.client.export(images, {
    signal,
    ...(platform === undefined ? {} : { platform: matcherOf(platform) }),
    ...(flags.allPlatforms === true ? { platform: "all" } : {}),
  });
  const written = compressed(archive, flags.compress);
  if (output === undefined || output === "-") {
    await pipeline(written, process.stdout, { end: false, signal });
    return;
  }
  const temporary = `${output}.${process.pid}.part`;
  try {
    await pipeline(written, createWriteStream(temporary), { signal });
    await rename(temporary, output);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** The archive as `--compress` wants it. */
function compressed(archive: AsyncIterable<Buffer>, format: string | true | undefined): AsyncIterable<Buffer> {
  if (format === undefined) return archive;
  const compressor = format === "gzip" ? createGzip() : createZstdCompress();
  return Readable.from(archive, { objectMode: false }).compose(compressor) as AsyncIterable<Buffer>;
}

/** Flags of `ctrd load`. */
export interface LoadFlags {
  input?: string;
  quiet?: boolean;
  snapshotter?: string;
  unpack?: boolean;
  name?: string;
}

/** Runs `ctrd load`: an OCI layout or the output of `docker save`, compressed or not. */
export async function load(session: Session, flags: LoadFlags): Promise<void> {
  const { input, name, unpack = true } = flags;
  if (input === undefined && process.stdin.isTTY) {
    throw new CommandFailure("there is no archive to read", { remedy: "use --input FILE, or a pipe" });
  }
  const source = input === undefined || input === "-" ? process.stdin : createReadStream(input);
  const snapshotter = chosenSnapshotter(flags.snapshotter);
  const images = await session.client.import(source, {
    signal: session.signal,
    unpack,
    ...(name === undefined ? {} : { names: () => [completeReference(name)] }),
    ...(snapshotter === undefined ? {} : { snapshotter }),
  });
  for (const image of images) {
    process.stdout.write(flags.quiet === true ? `${image.name}\n` : `Loaded image: ${shortReference(image.name)}\n`);
  }
}
