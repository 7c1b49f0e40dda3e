/**
 * Import and export between the image store and archives on streams.
 *
 * @module
 */
import type { ImageExportStream, ImageImportStream } from "@ctrd/api/types/transfer/importexport";
import type { ImageReference, ImageStore as ImageStoreMessage } from "@ctrd/api/types/transfer/imagestore";
import type { CallContext } from "@ctrd/core/context";
import { invalidArgument, isKind, messageOf, notImplemented } from "@ctrd/core/errors";
import { hostPlatform } from "@ctrd/core/platforms";
import type { Descriptor } from "@ctrd/core/records";
import type { ImageDescriptor, Index } from "@ctrd/images";
import {
  anyPlatform,
  childrenOf,
  dispatch,
  exportArchive,
  filterPlatforms,
  imageNameAnnotation,
  importArchive,
  isIndexType,
  matchPlatform,
  matchPlatforms,
  parseImageDocument,
  readDocument,
  refNameAnnotation,
  setChildLabels,
  storeImage,
  uncompressed,
  unpackImage,
  withTemporaryLease,
} from "@ctrd/images";
import { readBytes, writeBytes } from "./byte-streams.ts";
import type { ProgressReporter } from "./progress.ts";
import type { TransferParts } from "./service.ts";

/** Reads an archive from a stream and names what it holds. */
export async function importImages(
  ctx: CallContext,
  parts: TransferParts,
  { stream: id, mediaType, forceCompress }: ImageImportStream,
  store: ImageStoreMessage,
  progress: ProgressReporter,
): Promise<void> {
  const stream = parts.streams.get(ctx, id);
  progress.say("Importing");
  await withTemporaryLease(ctx, parts.leases, async (leased) => {
    const bytes = readBytes(stream, ctx.signal);
    const archive = mediaType === "" ? uncompressed(bytes) : bytes;
    const index = await importArchive(leased, parts.content, archive, { compressLayers: forceCompress });
    const named = await namesOf(leased, parts, index, store);
    if (named.length === 0) ctx.log.info({ digest: index.digest }, "import: no name for anything in the archive");
    const platform = store.platforms.length === 0 ? anyPlatform : matchPlatforms(store.platforms);
    const handler = filterPlatforms(setChildLabels(childrenOf(parts.content), parts.content), platform);
    await dispatch(leased, handler, [...new Map(named.map(({ target }) => [target.digest, target])).values()]);
    for (const { name, target } of named) {
      for (const unpack of store.unpacks) await unpackOne(leased, parts, target, unpack);
      const labels = name === store.name ? store.labels : extraLabels(store);
      await storeImage(leased, parts.images, name, target, labels);
      progress.say("saved", name, target);
    }
  });
  progress.say("Completed import");
}

/** Labels of further names: they live as long as the main one. */
export function extraLabels({ name, labels }: ImageStoreMessage): Map<string, string> {
  if (name === "") return new Map(labels);
  return new Map([
    ...labels,
    ["containerd.io/gc.bref.image", name],
    ["containerd.io/gc.expire", new Date().toISOString()],
  ]);
}

/** Unpacks one image of those named; an image for another platform only is left packed. */
async function unpackOne(
  ctx: CallContext,
  parts: TransferParts,
  target: Descriptor,
  { platform, snapshotter }: ImageStoreMessage["unpacks"][number],
): Promise<void> {
  const name = snapshotter === "" ? parts.defaultSnapshotter : snapshotter;
  try {
    await unpackImage(ctx, target, matchPlatform(platform ?? hostPlatform()), {
      content: parts.content,
      applier: parts.applier,
      snapshotter: parts.snapshotters.get(name),
      snapshotterName: name,
    });
  } catch (error) {
    if (!isKind(error, "not-found") || !isIndexType(target.mediaType)) throw error;
    ctx.log.info({ digest: target.digest, err: messageOf(error) }, "import: not unpacked");
  }
}

interface Named {
  name: string;
  target: Descriptor;
}

/** What the images of an index are to be called: the store's own name for the whole, and names of the entries. */
async function namesOf(
  ctx: CallContext,
  parts: TransferParts,
  index: Descriptor,
  store: ImageStoreMessage,
): Promise<Named[]> {
  const document = parseImageDocument(await readDocument(ctx, parts.content, index), index) as Index;
  const names = store.name === "" ? [] : [store.name];
  const named: Named[] = [...names, ...fullNames(store, index)].map((name) => ({ name, target: index }));
  for (const entry of document.manifests) {
    for (const reference of store.extraReferences) {
      for (const name of entryNames(entry, reference)) named.push({ name, target: entry });
    }
  }
  return named;
}

/** Further names that need no prefix. */
export function fullNames({ name: main, extraReferences }: ImageStoreMessage, { digest }: Descriptor): string[] {
  return extraReferences
    .filter(({ isPrefix, name }) => !isPrefix && name !== "")
    .map(({ name, addDigest }) => (addDigest ? `${name}@${digest}` : name))
    .filter((name) => name !== main);
}

function entryNames(entry: ImageDescriptor, reference: ImageReference): string[] {
  const { name: prefix, isPrefix, addDigest, skipNamedDigest } = reference;
  if (!isPrefix || prefix === "") return [];
  const name = nameOf(entry, reference);
  const digest = addDigest && (name === undefined || !skipNamedDigest) ? [`${prefix}@${entry.digest}`] : [];
  return name === undefined ? digest : [name, ...digest];
}

/** The name of an entry as a prefix lets it; undefined when it does not. */
function nameOf({ annotations }: ImageDescriptor, { name: prefix, allowOverwrite }: ImageReference) {
  const fits = (full: string): boolean =>
    allowOverwrite || (full.startsWith(prefix) && ["", "/", ":", "@"].includes(full.charAt(prefix.length)));
  const isFull = (text: string): boolean => /[/:@]/.test(text);
  // The first of the two is a full name or nothing.
  const named = annotations.get(imageNameAnnotation) ?? "";
  if (named !== "") return isFull(named) && fits(named) ? named : undefined;
  const reference = annotations.get(refNameAnnotation) ?? "";
  if (reference === "") return undefined;
  if (!isFull(reference)) return `${prefix}:${reference}`;
  return fits(reference) ? reference : undefined;
}

/** Writes images to a stream as one archive. */
export async function exportImages(
  ctx: CallContext,
  parts: TransferParts,
  store: ImageStoreMessage,
  destination: ImageExportStream,
  progress: ProgressReporter,
): Promise<void> {
  const stream = parts.streams.get(ctx, destination.stream);
  if (store.extraReferences.some(({ isPrefix }) => isPrefix)) throw notImplemented("export: images by prefix");
  const names = [store.name, ...store.extraReferences.map(({ name }) => name)].filter((name) => name !== "");
  if (names.length === 0) throw invalidArgument("export: no image is named");
  progress.say("Exporting");
  const byDigest = new Map<string, { target: Descriptor; names: string[] }>();
  for (const name of names) {
    const { target } = await parts.images.get(ctx, name);
    if (target === undefined) throw invalidArgument(`export: image "${name}" points at nothing`);
    const known = byDigest.get(target.digest);
    if (known === undefined) byDigest.set(target.digest, { target, names: [name] });
    else known.names.push(name);
  }
  const images = [...byDigest.values()];
  const some = destination.platforms.length > 0 ? matchPlatforms(destination.platforms) : matchPlatform(hostPlatform());
  const archive = exportArchive(ctx, {
    content: parts.content,
    images,
    platform:
      destination.allPlatforms || !images.some(({ target }) => isIndexType(target.mediaType)) ? anyPlatform : some,
    skipManifestJson: destination.skipCompatibilityManifest,
    skipForeignLayers: destination.skipNonDistributable,
  });
  try {
    await writeBytes(stream, archive, ctx.signal);
  } finally {
    stream.close();
  }
  progress.say("Completed export");
}

/** Sends an archive back as it is. */
export async function echo(
  ctx: CallContext,
  parts: TransferParts,
  { stream: from }: ImageImportStream,
  { stream: to }: ImageExportStream,
): Promise<void> {
  const [source, destination] = [parts.streams.get(ctx, from), parts.streams.get(ctx, to)];
  try {
    await writeBytes(destination, readBytes(source, ctx.signal), ctx.signal);
  } finally {
    destination.close();
  }
}
