/**
 * Images in archives.
 *
 * @module
 */
import { invalidArgument } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import type { ProgressListener } from "@ctrd/core/remotes";
import type { ImageDescriptor, PlatformMatcher } from "@ctrd/images";
import {
  anyPlatform,
  childrenOf,
  dispatch,
  exportArchive,
  filterPlatforms,
  imageNameAnnotation,
  importArchive,
  isIndexType,
  parseImageDocument,
  readDocument,
  refNameAnnotation,
  setChildLabels,
  uncompressed,
} from "@ctrd/images";
import type { Client } from "./client.ts";
import { reportOf, reported } from "./errors.ts";
import { Image } from "./image.ts";
import type { Abortable, LabelValues, PlatformChoice } from "./options.ts";

/** Options of {@link Client.import}. */
export interface ImportArchiveOptions extends Abortable {
  /** Platforms whose content must be there; all when absent. */
  readonly platform?: PlatformChoice;
  /** Names of the images of an entry, in place of what the archive says; none: it is left out. */
  readonly names?: (entry: Descriptor) => readonly string[];
  /** Name for all of the archive together. */
  readonly indexName?: string;
  /** Whether the images are unpacked, which they are unless this is false. */
  readonly unpack?: boolean;
  /** Where they are unpacked; the namespace's default when absent. */
  readonly snapshotter?: string;
  readonly labels?: LabelValues;
  readonly progress?: ProgressListener;
}

/** Options of {@link Client.export}. */
export interface ExportArchiveOptions extends Abortable {
  /** Which manifests of indexes; the client's platform when absent, `all` for everything. */
  readonly platform?: PlatformChoice | "all";
  /** Leave Docker's `manifest.json` out. */
  readonly skipManifestJson?: boolean;
  /** Leave layers out that must not be distributed. */
  readonly skipForeignLayers?: boolean;
}

export async function importImages(
  outer: Client,
  archive: AsyncIterable<Uint8Array>,
  options: ImportArchiveOptions,
): Promise<Image[]> {
  const { signal } = outer.context(options);
  return reported("import images", signal, () =>
    outer.withLease(async (client) => {
      const named = await store(client, archive, options);
      const images: Image[] = [];
      for (const { name, target } of named) {
        const image = await client.createImage(name, target, options);
        if (options.unpack !== false) await image.unpack(options);
        // The caller's has nothing to do with the lease.
        images.push(new Image(outer, image.record));
      }
      return images;
    }, options),
  );
}

interface Named {
  name: string;
  target: Descriptor;
}

async function store(
  client: Client,
  archive: AsyncIterable<Uint8Array>,
  options: ImportArchiveOptions,
): Promise<Named[]> {
  const ctx = client.context(options);
  const { content } = client;
  const index = await importArchive(ctx, content, uncompressed(archive));
  const document = parseImageDocument(await readDocument(ctx, content, index), index);
  const entries = document.kind === "index" ? document.manifests : [];
  const names = options.names ?? namesInArchive;
  const named = entries.flatMap((target) => names(target).map((name): Named => ({ name, target })));
  if (options.indexName !== undefined) named.push({ name: options.indexName, target: index });
  if (named.length === 0) {
    throw invalidArgument("import images: none in the archive has a name; give them names, or one for the whole");
  }
  const matcher = options.platform === undefined ? anyPlatform : client.platformMatcher(options.platform);
  const handler = filterPlatforms(setChildLabels(childrenOf(content), content), matcher);
  for (const { target } of named) await dispatch(ctx, handler, [target]);
  return named;
}

/** Tags alone (`latest`) say nothing without a repository. */
function namesInArchive({ annotations }: ImageDescriptor | Descriptor): string[] {
  const name = annotations.get(imageNameAnnotation) ?? annotations.get(refNameAnnotation) ?? "";
  return name.includes("/") ? [name] : [];
}

export async function* exportImages(
  client: Client,
  images: readonly (Image | string)[],
  options: ExportArchiveOptions,
): AsyncGenerator<Buffer> {
  const ctx = client.context(options);
  const { skipManifestJson = false, skipForeignLayers = false } = options;
  try {
    const byDigest = new Map<string, { target: Descriptor; names: string[] }>();
    for (const each of images) {
      const { name, target } = typeof each === "string" ? await client.getImage(each, options) : each;
      const known = byDigest.get(target.digest);
      if (known === undefined) byDigest.set(target.digest, { target, names: [name] });
      else if (!known.names.includes(name)) known.names.push(name);
    }
    yield* exportArchive(ctx, {
      content: client.content,
      images: [...byDigest.values()],
      platform: exportedPlatforms(client, [...byDigest.values()], options),
      skipManifestJson,
      skipForeignLayers,
    });
  } catch (error) {
    throw reportOf("export images", ctx.signal, error);
  }
}

function exportedPlatforms(
  client: Client,
  images: readonly { target: Descriptor }[],
  { platform }: ExportArchiveOptions,
): PlatformMatcher {
  const hasIndex = images.some(({ target }) => isIndexType(target.mediaType));
  return platform === "all" || !hasIndex ? anyPlatform : client.platformMatcher(platform);
}
