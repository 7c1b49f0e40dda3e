/**
 * Checks of the content store: metadata ↔ files.
 *
 * @module
 */
import { mkdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Client } from "@ctrd/client";
import { referenceGraph } from "@ctrd/client";
import { isDigest, parseDigest } from "@ctrd/core/digests";
import { errnoOf } from "@ctrd/core/errors";
import { shortReference } from "@ctrd/core/references";
import { formatBytes } from "../output/quantities.ts";
import { names, oldSize, unlessGone, unlessMissing, youngMs } from "./files.ts";
import type { Check, Finding } from "./finding.ts";
import { hashFiles } from "./hash-blobs.ts";
import { ingestsOf } from "./ingests.ts";
import type { DoctorScope } from "./scope.ts";

/** A blob as the metadata has it. */
interface NamedBlob {
  readonly digest: string;
  readonly size: bigint;
  readonly clients: Client[];
}

const noStore = ({ content }: DoctorScope): string | undefined =>
  content === undefined ? "the content store is not on this machine" : undefined;

/** Every blob has a file of its size, and with `--deep` of its digest. */
export const blobs: Check = {
  name: "content",
  about: "each blob has its file, with all of its bytes",
  obstacle: noStore,
  async run(scope) {
    const findings: Finding[] = [];
    for (const blob of await namedBlobs(scope)) {
      const size = await sizeOf(pathOf(scope, blob.digest));
      if (size === blob.size) continue;
      const problem =
        size === undefined ? "its file is missing" : `its file has ${size} bytes, and should have ${blob.size}`;
      findings.push(await badBlob(scope, blob, problem));
    }
    return findings;
  },
};

/** Every blob's bytes have its digest. */
export const digests: Check = {
  name: "digests",
  about: "the bytes of each blob have its digest",
  lasting: true,
  obstacle: (scope) => noStore(scope) ?? (scope.deep ? undefined : "it reads everything: ask with --deep"),
  async run(scope) {
    const all = await namedBlobs(scope);
    const paths = new Map(all.map((blob) => [pathOf(scope, blob.digest), blob]));
    const findings: Finding[] = [];
    for await (const { path, hex } of hashFiles(
      [...paths].map(([path, { digest }]) => ({ path, ...parseDigest(digest) })),
    )) {
      const blob = paths.get(path);
      // Of other sizes the first check tells.
      if (blob === undefined || parseDigest(blob.digest).hex === hex || (await sizeOf(path)) !== blob.size) continue;
      findings.push(await badBlob(scope, blob, `its bytes have another digest, …:${hex}`));
    }
    return findings;
  },
};

async function namedBlobs(scope: DoctorScope): Promise<NamedBlob[]> {
  const named = new Map<string, NamedBlob>();
  for (const client of (await scope.namespaces()).values()) {
    const ctx = client.context({ signal: scope.session.signal });
    for await (const { digest, size } of client.content.list(ctx, [])) {
      const known = named.get(digest);
      if (known === undefined) named.set(digest, { digest, size, clients: [client] });
      else known.clients.push(client);
    }
  }
  return [...named.values()];
}

function pathOf({ content = "" }: DoctorScope, digest: string): string {
  const { algorithm, hex } = parseDigest(digest);
  return join(content, "blobs", algorithm, hex);
}

async function sizeOf(path: string): Promise<bigint | undefined> {
  try {
    return (await stat(path, { bigint: true })).size;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function badBlob(scope: DoctorScope, blob: NamedBlob, problem: string): Promise<Finding> {
  const images = await imagesOf(scope, blob);
  const pulls = images.map((name) => `ctrd pull ${name}`).join("; ");
  const affected = images.length === 0 ? "no image needs it" : `these need it: ${images.join(", ")}`;
  return {
    check: "content",
    severity: "error",
    object: `content ${blob.digest}`,
    problem,
    meaning: `whoever reads it fails or gets wrong bytes; ${affected}`,
    remedy: `moves the file to ${quarantineOf(scope)} and forgets the blob${pulls === "" ? "" : `; then: ${pulls}`}`,
    repair: () => quarantine(scope, blob),
  };
}

/** Names of the images that keep the blob. */
async function imagesOf({ session }: DoctorScope, { digest, clients }: NamedBlob): Promise<string[]> {
  const names = new Set<string>();
  for (const client of clients) {
    const graph = await referenceGraph(client, { signal: session.signal });
    for (const [root] of graph.holdersOf({ kind: "content", id: digest, snapshotter: "" })) {
      if (root?.object.kind === "image") names.add(shortReference(root.object.id));
    }
  }
  return [...names];
}

function quarantineOf({ root }: DoctorScope): string {
  return join(root, "quarantine");
}

async function quarantine(scope: DoctorScope, { digest, clients }: NamedBlob): Promise<string> {
  const { algorithm, hex } = parseDigest(digest);
  const to = join(quarantineOf(scope), `${algorithm}-${hex}-${Date.now()}`);
  await mkdir(quarantineOf(scope), { recursive: true, mode: 0o700 });
  // First the file: from here on nobody can read wrong bytes.
  const moved = await unlessMissing(rename(pathOf(scope, digest), to));
  for (const client of clients) {
    await unlessGone(client.content.delete(client.context({ signal: scope.session.signal }), digest));
  }
  return moved ? `moved to ${to}, and forgotten` : "forgotten";
}

/** Blobs that no namespace names. */
export const strayBlobs: Check = {
  name: "stray-blobs",
  about: "each file of the content store is named by a namespace",
  obstacle: noStore,
  async run(scope) {
    const files: { path: string; digest: string; size: number }[] = [];
    for (const algorithm of await names(join(scope.content ?? "", "blobs"))) {
      for (const hex of await names(join(scope.content ?? "", "blobs", algorithm))) {
        const path = join(scope.content ?? "", "blobs", algorithm, hex);
        const size = isDigest(`${algorithm}:${hex}`) ? await oldSize(path, youngMs) : undefined;
        if (size !== undefined) files.push({ path, digest: `${algorithm}:${hex}`, size });
      }
    }
    const named = new Set((await namedBlobs(scope)).map(({ digest }) => digest));
    // An upload of what another namespace had may stand for the file.
    for (const { expected } of (await ingestsOf(scope)).map(({ status }) => status)) named.add(expected);
    return files.filter(({ digest }) => !named.has(digest)).map(({ path, size }) => strayBlob(path, size));
  },
};

function strayBlob(path: string, size: number): Finding {
  return {
    check: "stray-blobs",
    severity: "warning",
    object: path,
    problem: "no namespace has this blob",
    meaning: `it takes ${formatBytes(size)} for nothing; the daemon removes it at its next start`,
    remedy: "removes the file",
    async repair() {
      await rm(path, { force: true });
      return "removed";
    },
  };
}
