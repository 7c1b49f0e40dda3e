/**
 * Referrers: what points at a manifest, such as signatures.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { isKind, messageOf, resourceExhausted, unavailable } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import type { RegistryHost } from "./hosts.ts";
import type { Reference } from "@ctrd/core/references";
import type { ApiResponse } from "./requests.ts";
import { askHosts } from "./requests.ts";
import { pullScope } from "./scopes.ts";

const maxIndexBytes = 4 * 1048 * 1048;

interface IndexEntry {
  mediaType?: string;
  digest?: string;
  size?: number;
  artifactType?: string;
  annotations?: Record<string, string>;
}

/** The referrers API, else the tag that stands for it (`sha256-<hex>`); empty when there is neither. */
export async function referrersOf(
  ctx: CallContext,
  reference: Reference,
  hosts: readonly RegistryHost[],
  userAgent: string,
  digest: string,
  artifactType: string | undefined,
): Promise<Descriptor[]> {
  const { repository, host: origin } = reference;
  const common = {
    method: "GET" as const,
    headers: { accept: "application/vnd.oci.image.index.v1+json" },
    scopes: [pullScope(repository)],
    origin,
    action: `referrers of ${digest} in ${origin}/${repository}`,
  };
  const query = artifactType === undefined ? {} : { artifactType };
  const paths = [
    { path: `/${repository}/referrers/${digest}`, query },
    { path: `/${repository}/manifests/${digest.replace(":", "-")}`, query: {} },
  ];
  for (const place of paths) {
    try {
      const { response } = await askHosts(ctx, hosts, "referrers", { ...common, ...place }, userAgent);
      return filtered(await readIndex(response, common.action), artifactType);
    } catch (error) {
      if (!isKind(error, "not-found") && !isKind(error, "not-implemented")) throw error;
    }
  }
  return [];
}

/** The API may filter, and need not. */
function filtered(entries: readonly IndexEntry[], artifactType: string | undefined): Descriptor[] {
  return entries
    .filter((entry) => artifactType === undefined || entry.artifactType === artifactType)
    .map((entry) => ({
      mediaType: entry.mediaType ?? "",
      digest: entry.digest ?? "",
      size: BigInt(Math.trunc(entry.size ?? 0)),
      annotations: new Map(Object.entries(entry.annotations ?? {})),
    }));
}

async function readIndex(response: ApiResponse, action: string): Promise<IndexEntry[]> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response.body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxIndexBytes) throw resourceExhausted(`${action}: the index is larger than ${maxIndexBytes} bytes`);
    chunks.push(chunk);
  }
  try {
    const { manifests } = JSON.parse(Buffer.concat(chunks).toString("utf8")) as { manifests?: IndexEntry[] };
    return Array.isArray(manifests) ? manifests : [];
  } catch (error) {
    throw unavailable(`${action}: the answer is no index: ${messageOf(error)}`, { cause: error });
  }
}
