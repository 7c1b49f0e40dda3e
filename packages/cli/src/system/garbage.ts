/**
 * `ctrd gc`: collections on demand, and what they would remove.
 *
 * @module
 */
import { CommandFailure } from "../failure.ts";
import type { Column, OutputFlags } from "../output/format.ts";
import { formatRows, toJson } from "../output/format.ts";
import { formatBytes } from "../output/quantities.ts";
import type { Session } from "../session.ts";
import type { Collected, CollectionResult } from "./collect.ts";
import { bytesOf, collectGarbage, countedKinds, findGarbage } from "./collect.ts";

/** Flags of `ctrd gc`. */
export interface GarbageFlags extends OutputFlags {
  dryRun?: boolean;
}

const columns: readonly Column<Collected>[] = [
  { name: "Namespace", title: "NAMESPACE", value: ({ namespace }) => namespace },
  { name: "Type", title: "TYPE", value: ({ object }) => object.kind },
  { name: "ID", title: "ID", value: ({ object }) => object.id },
  { name: "Snapshotter", value: ({ object }) => object.snapshotter },
  { name: "Size", title: "SIZE", value: ({ size }) => size, text: ({ size }) => formatBytes(size) },
  { name: "CreatedAt", value: ({ object }) => object.createdAt?.toISOString() ?? null },
  { name: "Why", title: "WHY", value: ({ why }) => why },
];

/** Runs `ctrd gc run` and `ctrd gc --dry-run`. */
export async function gc(session: Session, action: string | undefined, flags: GarbageFlags): Promise<void> {
  if (action !== undefined && action !== "run") throw new CommandFailure(`gc has no "${action}": gc run, gc --dry-run`);
  if (flags.dryRun === true) return dryRun(session, flags);
  if (action === undefined) throw new CommandFailure("gc needs to know what to do: gc run, or gc --dry-run");
  const result = await collectGarbage(session);
  if (flags.json === true) {
    process.stdout.write(`${toJson(resultJson(result))}\n`);
    return;
  }
  process.stdout.write(describeCollection(result));
}

async function dryRun(session: Session, flags: GarbageFlags): Promise<void> {
  const { collected } = await findGarbage(session);
  const isTable = flags.json !== true && flags.quiet !== true && (flags.format ?? "table") === "table";
  if (isTable && collected.length === 0) {
    process.stdout.write("A collection would remove nothing.\n");
    return;
  }
  process.stdout.write(formatRows(collected, columns, flags, 2));
  if (isTable) process.stdout.write(`\nA collection would remove ${summary(collected)}. Do it with: ctrd gc run\n`);
}

/** What was removed, in one line. */
export function describeCollection({ removed, millis }: CollectionResult): string {
  const what = removed.length === 0 ? "nothing" : summary(removed);
  return `Removed ${what}, in ${Math.round(millis)} ms.\n`;
}

function summary(collected: readonly Collected[]): string {
  const counts = countedKinds.flatMap((kind) => {
    const count = collected.filter(({ object }) => object.kind === kind).length;
    return count === 0 ? [] : [`${count} ${noun(kind)}${count === 1 ? "" : "s"}`];
  });
  return `${counts.join(", ")} (${formatBytes(bytesOf(collected))})`;
}

function noun(kind: string): string {
  return kind === "content" ? "blob" : kind;
}

function resultJson({ removed, millis }: CollectionResult): Record<string, unknown> {
  const counts = countedKinds.map((kind) => [kind, removed.filter(({ object }) => object.kind === kind).length]);
  return {
    Removed: Object.fromEntries(counts) as Record<string, number>,
    Bytes: bytesOf(removed),
    Milliseconds: Math.round(millis),
    Objects: removed.map(({ namespace, object, size }) => ({
      Namespace: namespace,
      Type: object.kind,
      ID: object.id,
      Snapshotter: object.snapshotter,
      Size: size,
    })),
  };
}
