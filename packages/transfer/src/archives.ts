/**
 * Import and export between the image store and archives on streams.
 *
 * @module
 */
import type { ImageExportStream, ImageImportStream } from "@ctrd/api/types/transfer/importexport";
import type { ImageReference, ImageStore as ImageStoreMessage } from "@ctrd/api/types/transfer/imagestore";
import type { CallContext } from "@ctrd/core/context";
import { invalidArgument } from "@ctrd/core/errors";
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
  if (forceCompress) throw invalidArgument("import: compressing the layers is not supported; import them as they are");
  const stream = parts.streams.get(ctx, id);
  progress.say("Importing");
  await withTemporaryLease(ctx, parts.leases, async (leased) => {
    const bytes = readBytes(stream);
    const index = await importArchive(leased, parts.content, mediaType === "" ? uncompressed(bytes) : bytes);
    const named = await namesOf(leased, parts, index, store);
    const platform = store.platforms.length === 0 ? anyPlatform : matchPlatforms(store.platforms);
    for (const { target } of named) {
      const handler = filterPlatforms(setChildLabels(childrenOf(parts.content), parts.content), platform);
      await dispatch(leased, handler, [target]);
    }
    for (const { name, target } of named) {
      await storeImage(leased, parts.images, name, target, store.labels);
      progress.say("saved", name, target);
      for (const unpack of store.unpacks) await unpackOne(leased, parts, target, unpack, progress);
    }
  });
  progress.say("Completed import");
}

async function unpackOne(
  ctx: CallContext,
  parts: TransferParts,
  target: Descriptor,
  { platform, snapshotter }: ImageStoreMessage["unpacks"][number],
  progress: ProgressReporter,
): Promise<void> {
  const name = snapshotter === "" ? parts.defaultSnapshotter : snapshotter;
  await unpackImage(ctx, target, matchPlatform(platform ?? hostPlatform()), {
    content: parts.content,
    applier: parts.applier,
    snapshotter: parts.snapshotters.get(name),
    snapshotterName: name,
    progress: progress.listener,
  });
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
  const named: Named[] = store.name === "" ? [] : [{ name: store.name, target: index }];
  for (const entry of document.manifests) {
    const annotation = entry.annotations.get(imageNameAnnotation) ?? entry.annotations.get(refNameAnnotation) ?? "";
    for (const reference of store.extraReferences) {
      for (const name of entryNames(annotation, entry, reference)) named.push({ name, target: entry });
    }
  }
  if (named.length === 0) {
    throw invalidArgument("import: nothing in the archive has a name that the client wants; give it a name");
  }
  return named;
}

function entryNames(annotation: string, entry: ImageDescriptor, reference: ImageReference): string[] {
  const { name: prefix, isPrefix, allowOverwrite, addDigest, skipNamedDigest } = reference;
  if (!isPrefix) return annotation === prefix ? [annotation] : [];
  const isFull = annotation.includes("/") || annotation.includes(":");
  const fits = isFull ? allowOverwrite || annotation.startsWith(`${prefix}:`) : annotation !== "";
  const named = !fits ? undefined : isFull ? annotation : `${prefix}:${annotation}`;
  const digest = addDigest && !(skipNamedDigest && named !== undefined) ? [`${prefix}@${entry.digest}`] : [];
  return named === undefined ? digest : [named, ...digest];
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
    await writeBytes(stream, archive);
  } finally {
    stream.close();
  }
  progress.say("Completed export");
}
