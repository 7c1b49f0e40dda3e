/**
 * Marker files that delete what lower layers have. Pure.
 *
 * @module
 */
import { toText } from "../byte-string.ts";
import { invalidArchive } from "../tar/invalid-archive.ts";

export const whiteoutPrefix = ".wh.";
/** Name of the marker that hides everything lower layers have in its directory. */
export const opaqueMarker = ".wh..wh..opq";

/** What a marker says: the name it deletes, or `undefined` for the opaque marker. */
export interface Whiteout {
  target: string | undefined;
}

/** @returns `undefined` for a name that is no marker. @throws ContainerdError when it deletes no name in its directory */
export function parseWhiteout(name: string): Whiteout | undefined {
  if (!name.startsWith(whiteoutPrefix)) return undefined;
  if (name === opaqueMarker) return { target: undefined };
  const target = name.slice(whiteoutPrefix.length);
  if (target === "" || target === "." || target === "..") {
    throw invalidArchive(`whiteout "${toText(name)}" leaves its directory`);
  }
  return { target };
}
