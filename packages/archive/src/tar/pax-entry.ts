import type { TarEntry } from "./entry.ts";
import { invalidArchive } from "./invalid-archive.ts";
import { parseDecimal } from "./numbers.ts";
import type { PaxRecords } from "./pax.ts";
import { parsePaxTime, xattrPrefix } from "./pax.ts";

/** Overrides fields of `entry` with PAX records; an empty value leaves the header's own. */
export function applyPaxRecords(entry: TarEntry, records: PaxRecords): void {
  const xattrs = new Map<string, Buffer>();
  for (const [key, value] of records) {
    if (key.startsWith(xattrPrefix)) xattrs.set(key.slice(xattrPrefix.length), value);
    else if (value.length > 0) applyRecord(entry, key, value.toString("latin1"));
  }
  if (entry.size < 0) throw invalidArchive("negative size");
  entry.xattrs = xattrs;
}

function applyRecord(entry: TarEntry, key: string, text: string): void {
  switch (key) {
    case "path":
      entry.name = text;
      break;
    case "linkpath":
      entry.linkName = text;
      break;
    case "size":
      entry.size = parseDecimal(text, "size");
      break;
    case "uid":
      entry.uid = parseDecimal(text, "uid");
      break;
    case "gid":
      entry.gid = parseDecimal(text, "gid");
      break;
    case "mtime":
      entry.modifyTime = parsePaxTime(text, "mtime");
      break;
    case "atime":
      entry.accessTime = parsePaxTime(text, "atime");
      break;
    default: // Others (ctime, user names, comments) have no effect on a layer.
  }
}
