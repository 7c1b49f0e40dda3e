/**
 * Check of uploads that were left.
 *
 * @module
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Client } from "@ctrd/client";
import type { IngestStatus } from "@ctrd/core/content";
import { millisFromTimestamp } from "@ctrd/core/records";
import { formatBytes, formatSpan } from "../output/quantities.ts";
import { names, oldSize, textOf, unlessGone } from "./files.ts";
import type { Check, Finding } from "./finding.ts";
import type { DoctorScope } from "./scope.ts";

/** Uploads that nobody goes on with. */
const staleMs = 24 * 3600 * 1000;

/** Uploads that were left. */
export const staleIngests: Check = {
  name: "ingests",
  about: "no upload is older than a day, and each is named by a namespace",
  async run(scope) {
    const all = await ingestsOf(scope);
    const now = Date.now();
    const old = all.filter(({ status }) => now - millisFromTimestamp(status.updatedAt) > staleMs);
    const findings = old.map(({ client, status }): Finding => ({
      check: "ingests",
      severity: "warning",
      object: `ingest ${status.ref} (namespace ${client.namespace})`,
      problem: `nothing was written to it for ${formatSpan(now - millisFromTimestamp(status.updatedAt))}`,
      meaning: `it takes ${formatBytes(status.offset)}; a pull of the same content would go on with it`,
      remedy: "gives the upload up",
      async repair() {
        await unlessGone(client.content.abort(client.context({ signal: scope.session.signal }), status.ref));
        return "given up";
      },
    }));
    return [...findings, ...(await strayIngests(scope, all))];
  },
};

/** An upload of a namespace. */
interface Ingest {
  readonly client: Client;
  readonly status: IngestStatus;
}

/** The uploads of all namespaces. */
export async function ingestsOf(scope: DoctorScope): Promise<Ingest[]> {
  const all: Ingest[] = [];
  for (const client of (await scope.namespaces()).values()) {
    const statuses = await client.content.listStatuses(client.context({ signal: scope.session.signal }), []);
    all.push(...statuses.map((status) => ({ client, status })));
  }
  return all;
}

/** Directories of uploads that no namespace knows. */
async function strayIngests({ content }: DoctorScope, known: readonly Ingest[]): Promise<Finding[]> {
  if (content === undefined) return [];
  const findings: Finding[] = [];
  for (const name of await names(join(content, "ingest"))) {
    const path = join(content, "ingest", name);
    if ((await oldSize(path, staleMs)) === undefined) continue;
    const ref = (await textOf(join(path, "ref"))) ?? "";
    // <namespace>/<number>/<ref>
    const [namespace, , ...rest] = ref.split("/");
    const isKnown = known.some(({ client, status }) => client.namespace === namespace && status.ref === rest.join("/"));
    if (!isKnown) findings.push(strayIngest(path));
  }
  return findings;
}

function strayIngest(path: string): Finding {
  return {
    check: "ingests",
    severity: "warning",
    object: path,
    problem: "no namespace has this upload, and it is older than a day",
    meaning: "it takes space for nothing; the daemon removes it at its next start",
    remedy: "removes the directory",
    async repair() {
      await rm(path, { recursive: true, force: true });
      return "removed";
    },
  };
}
