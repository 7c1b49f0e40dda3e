/**
 * What the words of `ctrd cp` mean. Pure.
 *
 * @module
 */
import { posix } from "node:path";
import { CommandFailure } from "../failure.ts";

/** One side of a copy: a stream, a path of this machine, or one of a container. */
export type Place =
  | { readonly kind: "stream" }
  | { readonly kind: "local"; readonly path: string }
  | { readonly kind: "container"; readonly container: string; readonly path: string };

/** Reads `-`, `PATH` and `CONTAINER:PATH`; a path that begins with `/` or `.` is one of this machine. */
export function parsePlace(text: string): Place {
  if (text === "-") return { kind: "stream" };
  const colon = text.indexOf(":");
  if (text === "") throw new CommandFailure("cp: a path is empty");
  if (colon < 0 || text.startsWith("/") || text.startsWith(".")) return { kind: "local", path: text };
  const [container, path] = [text.slice(0, colon), text.slice(colon + 1)];
  if (container === "" || path === "") {
    throw new CommandFailure(`cp: "${text}" names no path in a container`, { remedy: "write CONTAINER:PATH" });
  }
  return { kind: "container", container, path };
}

/** What is at a path, once its links were followed. */
export type Kind = "directory" | "other" | "absent";

/** What is copied: what it is, and how it was written. */
export interface Source {
  readonly path: string;
  readonly isDirectory: boolean;
}

/** Where it goes: the directory that must be there, and the name in it; without a name it is the directory itself. */
export interface Target {
  readonly directory: string;
  readonly name: string;
}

/**
 * Docker's rules for where a copy goes.
 *
 * @throws CommandFailure when the source does not fit what is there
 */
export function targetOf(source: Source, path: string, kind: Kind): Target {
  const wantsDirectory = path.endsWith("/") || path.endsWith("/.") || path === ".";
  if (kind === "directory") {
    const contents = source.isDirectory && /(?:^|\/)\.$/.test(source.path);
    return { directory: path, name: contents ? "" : nameOf(source.path) };
  }
  if (kind === "other" && (source.isDirectory || wantsDirectory)) {
    throw new CommandFailure(`cp: "${path}" is not a directory`);
  }
  if (kind === "absent" && wantsDirectory && !source.isDirectory) {
    throw new CommandFailure(`cp: there is no directory "${path}"`, { remedy: "make it first" });
  }
  const clean = path.replace(/(?:\/\.?)+$/, "");
  return { directory: posix.dirname(clean), name: posix.basename(clean) };
}

/** The last name of a path; empty for the root. */
export function nameOf(path: string): string {
  return posix.basename(posix.join("/", path));
}
