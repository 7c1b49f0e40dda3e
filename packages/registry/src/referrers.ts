/**
 * Referrers: what points at a manifest, such as signatures.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { isDigest } from "@ctrd/core/digests";
import { isKind, messageOf, resourceExhausted, unavailable } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import type { RegistryHost } from "./hosts.ts";
import type { Reference } from "@ctrd/core/references";
import type { ApiResponse } from "./answers.ts";
import { readLimited } from "./answers.ts";
import { askHosts } from "./requests.ts";
import { pullScope } from "./scopes.ts";

const maxIndexBytes = 4 * 1048 * 1048;

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

/** The API may filter, and need not. What is no descriptor is left out. */
function filtered(entries: readonly unknown[], artifactType: string | undefined): Descriptor[] {
  return entries.flatMap((entry) => {
    const { mediaType, digest, size, annotations, artifactType: type } = objectOf(entry);
    if (typeof digest !== "string" || !isDigest(digest)) return [];
    if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) return [];
    if (artifactType !== undefined && type !== artifactType) return [];
    const strings = Object.entries(objectOf(annotations)).filter(
      (one): one is [string, string] => typeof one[1] === "string",
    );
    const known = typeof mediaType === "string" ? mediaType : "";
    return [{ mediaType: known, digest, size: BigInt(size), annotations: new Map(strings) }];
  });
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

async function readIndex(response: ApiResponse, action: string): Promise<unknown[]> {
  const text = await readLimited(response.body as AsyncIterable<Buffer>, maxIndexBytes, (what) =>
    resourceExhausted(`${action}: the index is ${what}`),
  );
  try {
    const { manifests } = objectOf(JSON.parse(text));
    return Array.isArray(manifests) ? manifests : [];
  } catch (error) {
    throw unavailable(`${action}: the answer is no index: ${messageOf(error)}`, { cause: error });
  }
}
