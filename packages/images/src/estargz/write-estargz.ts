/**
 * A layer as eStargz, with the files in front that readers fetch ahead.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { TarEntry } from "@ctrd/archive";
import { TarReader } from "@ctrd/archive";
import type { ConvertedLayer } from "../convert/jobs.ts";
import type { BlockWriter } from "../convert/output.ts";
import { cleanEntryPath } from "./toc.ts";
import { EstargzWriter } from "./writer.ts";

/** What to write. */
export interface EstargzOptions {
  /** Of gzip, 0–9. */
  readonly level: number | undefined;
  /** Paths of files to be fetched ahead; those that the layer does not have are passed over. */
  readonly prefetch: readonly string[];
}

/**
 * Writes the layer that `open` reads, which is plain, to `output`. It is read once, and three times when there are files
 * to be fetched ahead.
 */
export async function writeEstargz(
  open: () => AsyncIterable<Buffer>,
  options: EstargzOptions,
  output: BlockWriter,
): Promise<ConvertedLayer> {
  const writer = new EstargzWriter(output, options.level);
  const first = options.prefetch.length === 0 ? new Set<string>() : await findPrefetched(open(), options.prefetch);
  if (first.size > 0) {
    writer.takes = (path) => first.has(path);
    await pass(open(), writer);
  }
  writer.landmark(first.size > 0);
  writer.takes = (path) => !first.has(path);
  const sourceDiffId = await pass(open(), writer);
  return { sourceDiffId, ...(await writer.finish()) };
}

/** @returns the digest of the source */
async function pass(source: AsyncIterable<Buffer>, writer: EstargzWriter): Promise<string> {
  const hash = createHash("sha256");
  const reader = new TarReader(writer);
  for await (const chunk of source) {
    hash.update(chunk);
    reader.push(chunk);
    await writer.drain();
  }
  reader.finish();
  return `sha256:${hash.digest("hex")}`;
}

/** The paths that the layer has, with the directories that they are in and what they are hard links to. */
async function findPrefetched(source: AsyncIterable<Buffer>, paths: readonly string[]): Promise<Set<string>> {
  // Names in archives are byte strings.
  const wanted = new Set(paths.map((path) => cleanEntryPath(Buffer.from(path).toString("latin1"))));
  const links = new Map<string, string | undefined>();
  const reader = new TarReader({
    begin({ name, type, linkName }: TarEntry) {
      links.set(cleanEntryPath(name), type === "link" ? cleanEntryPath(linkName) : undefined);
    },
    data() {},
    end() {},
  });
  for await (const chunk of source) reader.push(chunk);
  const found = new Set<string>();
  const add = (path: string): void => {
    if (found.has(path) || !links.has(path)) return;
    found.add(path);
    for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) add(path.slice(0, at));
    const target = links.get(path);
    if (target !== undefined) add(target);
  };
  for (const path of wanted) add(path);
  return found;
}
