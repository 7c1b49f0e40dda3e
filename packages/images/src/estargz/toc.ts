/**
 * The table of contents at the end of an eStargz layer: what is in the layer, and where. Pure.
 *
 * @module
 */
import { posix } from "node:path";
import type { TarEntry, TarEntryType } from "@ctrd/archive";
import { failedPrecondition } from "@ctrd/core/errors";

/** Name of the table in the archive. */
export const tocName = "stargz.index.json";
/** Files before this one are fetched ahead. */
export const prefetchLandmark = ".prefetch.landmark";
/** Nothing is fetched ahead. */
export const noPrefetchLandmark = ".no.prefetch.landmark";

/** Annotations of an eStargz layer in its manifest. */
export const tocDigestAnnotation = "containerd.io/snapshot/stargz/toc.digest";
export const uncompressedSizeAnnotation = "io.containers.estargz.uncompressed-size";

/** A part of a file, at the beginning of a gzip member. */
export interface TocChunk {
  /** Number of the member. */
  readonly member: number;
  /** Bytes of the file before it, and in it. */
  readonly offset: number;
  readonly size: number;
  readonly digest: string;
}

/** What the table has of one entry. */
export interface TocItem {
  readonly entry: TarEntry;
  readonly chunks: TocChunk[];
  /** Of the whole file. */
  digest: string;
}

const typeNames: Readonly<Record<TarEntryType, string>> = {
  file: "reg",
  link: "hardlink",
  symlink: "symlink",
  char: "char",
  block: "block",
  directory: "dir",
  fifo: "fifo",
};

/** A path as it is compared: relative to the root, without `.`, `..` and a slash at the end. */
export function cleanEntryPath(name: string): string {
  return posix.join("/", name, "/").slice(1, -1);
}

/** Whether an entry belongs to eStargz itself, of a layer that has been one before. */
export function isEstargzOwn(path: string): boolean {
  return path === tocName || path === prefetchLandmark || path === noPrefetchLandmark;
}

/** The table as JSON. `offsets`: where each member begins in the layer. */
export function formatToc(items: Iterable<TocItem>, offsets: readonly number[]): Buffer {
  const entries: Buffer[] = [];
  for (const item of items) {
    for (const entry of entriesOf(item, offsets)) {
      entries.push(Buffer.from(`${entries.length === 0 ? "" : ","}\n${JSON.stringify(entry)}`));
    }
  }
  return Buffer.concat([Buffer.from('{"version":1,"entries":['), ...entries, Buffer.from("\n]}\n")]);
}

function* entriesOf({ entry, chunks, digest }: TocItem, offsets: readonly number[]): Generator<object> {
  const [first, ...more] = chunks;
  const name = textOf(entry.name);
  yield {
    ...describe(entry, name),
    ...(digest === "" ? {} : { digest }),
    ...(first === undefined ? {} : placeOf(first, more.length === 0, offsets)),
  };
  for (const [index, chunk] of more.entries()) {
    yield { name, type: "chunk", ...placeOf(chunk, index === more.length - 1, offsets) };
  }
}

/** What is zero or empty is left out, as Go does it. */
function describe(entry: TarEntry, name: string): object {
  const { type, size, mode, uid, gid, linkName, deviceMajor, deviceMinor, xattrs, modifyTime } = entry;
  const isDevice = type === "char" || type === "block";
  const time = formatTime(modifyTime.seconds);
  return {
    name,
    type: typeNames[type],
    ...(size === 0 ? {} : { size }),
    ...(time === "" ? {} : { modtime: time }),
    ...(linkName === "" ? {} : { linkName: textOf(linkName) }),
    ...(mode === 0 ? {} : { mode }),
    ...(uid === 0 ? {} : { uid }),
    ...(gid === 0 ? {} : { gid }),
    ...(isDevice ? { devMajor: deviceMajor, devMinor: deviceMinor } : {}),
    ...(xattrs.size === 0
      ? {}
      : { xattrs: Object.fromEntries([...xattrs].map(([key, value]) => [key, value.toString("base64")])) }),
  };
}

/** A size of none means "to the end of the file". */
function placeOf({ member, offset, size, digest }: TocChunk, isLast: boolean, offsets: readonly number[]): object {
  return {
    offset: offsets[member],
    ...(offset === 0 ? {} : { chunkOffset: offset }),
    ...(isLast ? {} : { chunkSize: size }),
    chunkDigest: digest,
  };
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Text of a byte string: JSON can hold no other names. */
function textOf(bytes: string): string {
  try {
    return utf8.decode(Buffer.from(bytes, "latin1"));
  } catch (error) {
    throw failedPrecondition(`the name ${JSON.stringify(bytes)} is not UTF-8, which eStargz cannot hold`, {
      cause: error,
    });
  }
}

/** Year 10000, which RFC 3339 does not know. */
const endOfTime = 253_402_300_800;

/** RFC 3339, empty for the epoch and for what has no such form. */
function formatTime(seconds: number): string {
  if (seconds <= 0 || seconds >= endOfTime) return "";
  return new Date(seconds * 1000).toISOString().replace(".000Z", "Z");
}
