/**
 * Importing archives: OCI layouts and what `docker save` writes.
 *
 * @module
 */
import type { TarEntry } from "@ctrd/archive";
import { TarReader } from "@ctrd/archive";
import type { ContentStore, ContentWriter } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { failedPrecondition, invalidArgument, isKind, messageOf, resourceExhausted } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import { isDigest } from "@ctrd/core/digests";
import { parseJsonObject } from "./blobs.ts";
import type { ArchiveFile, ArchiveFiles } from "./docker-archive.ts";
import { indexOfDockerArchive } from "./docker-archive.ts";
import { abortIngest, openIngest } from "./fetch.ts";
import { MediaType } from "./media-types.ts";

/** Documents that are read whole. */
const documents = new Set(["oci-layout", "index.json", "manifest.json"]);
const maxArchiveDocument = 20 << 20;
/** More entries than any archive of images has. */
const maxEntries = 1_000_000;

/** How to import. */
export interface ImportOptions {
  /** Compress the layers of Docker archives that are not. */
  compressLayers?: boolean;
}

/**
 * Stores the blobs of a plain tar with images. They are referenced by nothing yet: the call needs a lease.
 *
 * @returns the descriptor of an index with all of them
 * @throws ContainerdError `invalid-argument` when it is no tar, or neither an OCI layout nor a Docker archive
 */
export async function importArchive(
  ctx: CallContext,
  content: ContentStore,
  source: AsyncIterable<Uint8Array>,
  { compressLayers = false }: ImportOptions = {},
): Promise<Descriptor> {
  const files = await storeFiles(ctx, content, source);
  const layout = files.documents.get("oci-layout");
  if (layout !== undefined) {
    const { imageLayoutVersion: version } = parseJsonObject(layout, "oci-layout");
    if (version !== "1.0.0") throw invalidArgument(`import: OCI layout version "${String(version)}" is not supported`);
    const index = files.blobs.get("index.json");
    if (index === undefined) throw invalidArgument("import: the OCI layout has no index.json");
    return { mediaType: MediaType.OciIndex, digest: index.digest, size: index.size, annotations: new Map() };
  }
  if (files.documents.has("manifest.json")) return indexOfDockerArchive(ctx, content, files, compressLayers);
  throw invalidArgument("import: unrecognized image format; expected an OCI layout or the output of docker save");
}

/** Stores every file as a blob. */
async function storeFiles(
  ctx: CallContext,
  content: ContentStore,
  source: AsyncIterable<Uint8Array>,
): Promise<ArchiveFiles> {
  const files: ArchiveFiles = { blobs: new Map(), links: new Map(), documents: new Map() };
  const store = new FileStore(ctx, content, files);
  const events: (() => Promise<void>)[] = [];
  const reader = new TarReader({
    begin: (entry) => void events.push(() => store.begin(entry)),
    // The bytes stay as they are until the next chunk is asked for, which is after they were written.
    data: (bytes) => void events.push(() => store.data(bytes)),
    end: () => void events.push(() => store.end()),
  });
  try {
    for await (const chunk of source) {
      ctx.signal.throwIfAborted();
      reader.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
      for (const event of events.splice(0)) await event();
    }
    reader.finish();
  } catch (error) {
    await store.close().catch((left: unknown) => {
      ctx.log.debug({ err: messageOf(left) }, "ingest of a failed import not removed");
    });
    throw error;
  }
  return files;
}

class FileStore {
  readonly #ctx: CallContext;
  readonly #content: ContentStore;
  readonly #files: ArchiveFiles;
  #name = "";
  #size = 0n;
  #writer: ContentWriter | undefined;
  #document: Buffer[] | undefined;
  #entries = 0;

  constructor(ctx: CallContext, content: ContentStore, files: ArchiveFiles) {
    this.#ctx = ctx;
    this.#content = content;
    this.#files = files;
  }

  async begin(entry: TarEntry): Promise<void> {
    if (++this.#entries > maxEntries) throw resourceExhausted(`import: more than ${maxEntries} entries`);
    const name = cleanName(entry.name);
    this.#name = name;
    if (entry.type === "symlink" || entry.type === "link") {
      const base = entry.type === "symlink" ? name.slice(0, name.lastIndexOf("/") + 1) : "";
      this.#files.links.set(name, cleanName(base + entry.linkName));
    }
    if (entry.type !== "file") return;
    this.#size = BigInt(entry.size);
    if (documents.has(name)) {
      if (entry.size > maxArchiveDocument) {
        throw resourceExhausted(`import: ${name} has ${entry.size} bytes, at most ${maxArchiveDocument} are read`);
      }
      this.#document = [];
    }
    // Another archive with a file of this name may just be imported.
    this.#writer = await openIngest(this.#ctx, this.#content, { ref: this.#ref, total: this.#size });
    // What an earlier import left under this name may be anything.
    await this.#writer?.truncate(0n);
  }

  async data(bytes: Buffer): Promise<void> {
    this.#document?.push(Buffer.from(bytes));
    await this.#writer?.write(bytes);
  }

  async end(): Promise<void> {
    const writer = this.#writer;
    if (writer === undefined) return;
    const expected = this.#namedDigest() ?? (await writer.digest());
    if (this.#document !== undefined) this.#files.documents.set(this.#name, Buffer.concat(this.#document));
    this.#document = undefined;
    this.#writer = undefined;
    try {
      await writer.commit(this.#ctx, { size: this.#size, expected });
    } catch (error) {
      if (isKind(error, "failed-precondition")) {
        await abortIngest(this.#ctx, this.#content, this.#ref);
        const why = `${this.#name} does not have the digest in its name; the archive is damaged`;
        throw failedPrecondition(`import: ${why}`, { cause: error });
      }
      if (!isKind(error, "already-exists")) throw error;
    }
    this.#files.blobs.set(this.#name, { digest: expected, size: this.#size } satisfies ArchiveFile);
  }

  /** Leaves nothing of a failed import's last file. */
  async close(): Promise<void> {
    if (this.#writer === undefined) return;
    await this.#writer.close();
    await abortIngest(this.#ctx, this.#content, this.#ref);
  }

  get #ref(): string {
    return `tar-${this.#name}`;
  }

  /** A blob of an OCI layout says in its name which digest it has. */
  #namedDigest(): string | undefined {
    const [, algorithm = "", hex = ""] = /^blobs\/([a-z0-9]+)\/([0-9a-f]+)$/.exec(this.#name) ?? [];
    const digest = `${algorithm}:${hex}`;
    return isDigest(digest) ? digest : undefined;
  }
}

/** The name without `./`, doubled slashes and `..`, as the path of a file in the archive. */
function cleanName(name: string): string {
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}
