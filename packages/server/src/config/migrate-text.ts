/**
 * A configuration file in the newest layout, as text.
 *
 * @module
 */
import type { ConfigDocument } from "./document.ts";
import { placeOf } from "./document.ts";
import type { Table } from "./key-path.ts";
import { formatKeyPath } from "./key-path.ts";
import { latestVersion } from "./migrate.ts";
import type { DroppedValue } from "./migrate.ts";
import { printTables, printValue } from "./print.ts";

/** Prints a migrated document; what has no place in the new layout is kept as comments. */
export async function printMigrated(
  document: ConfigDocument,
  from: number,
  dropped: readonly DroppedValue[],
): Promise<string> {
  const head =
    from === latestVersion
      ? [`# Layout ${latestVersion}, as it was. Comments of the original are not kept.`]
      : [`# Migrated from layout ${from} of ${document.name}. Comments of the original are not kept.`];
  const { version: _, ...rest } = document.table;
  const table: Table = { version: latestVersion, ...rest };
  const tail: string[] = [];
  for (const { path, value, reason } of dropped) {
    if (tail.length === 0) tail.push("", "# Not taken over:");
    tail.push(`# ${await placeOf(document, path)}: ${formatKeyPath(path)} = ${printValue(value)}`, `#   ${reason}`);
  }
  return `${[...head, ...printTables(table), ...tail].join("\n")}\n`;
}
