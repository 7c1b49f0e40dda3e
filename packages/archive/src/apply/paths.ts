/**
 * Paths of entries: made relative to the root and free of `.` and `..`. Pure; paths are byte strings.
 *
 * @module
 */

/** A clean path taken apart. The root itself has an empty `name`. */
export interface SplitPath {
  /** Directory it is in, empty for the root. */
  directory: string;
  name: string;
}

const unclean = /(?:^|\/)\.{0,2}(?:\/|$)/;

/** Cleans `path` as text: what climbs above the root stays at the root, as it does for `/..`. */
export function cleanPath(path: string): string {
  if (!unclean.test(path)) return path;
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

/** Splits a clean path. */
export function splitPath(path: string): SplitPath {
  const slash = path.lastIndexOf("/");
  return { directory: slash < 0 ? "" : path.slice(0, slash), name: path.slice(slash + 1) };
}

/** Joins clean paths. */
export function joinPath(directory: string, name: string): string {
  return directory === "" ? name : `${directory}/${name}`;
}
