/**
 * Directories that code may be loaded from: nobody but their owner, who is this user or root, can change what is in
 * them.
 *
 * @module
 */
import type { Stats } from "node:fs";
import { lstatSync, mkdirSync, realpathSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

/** Bits of a mode. */
const [writableByOthers, accessibleByOthers, sticky] = [0o022, 0o077, 0o1000];

/** Where an executable may unpack itself: the first that can be used is taken. */
export function cacheDirectories(environment: NodeJS.ProcessEnv, uid: number): string[] {
  const chosen = environment["XDG_CACHE_HOME"];
  if (chosen !== undefined && chosen.startsWith("/")) return [join(chosen, "ctrd")];
  if (uid === 0) return ["/var/cache/ctrd", "/run/ctrd"];
  const runtime = environment["XDG_RUNTIME_DIR"];
  return [join(homedir(), ".cache/ctrd"), ...(runtime?.startsWith("/") === true ? [join(runtime, "ctrd")] : [])];
}

/**
 * Makes a directory unless it is there, and insists that others cannot replace what is in it.
 *
 * @returns its path without symbolic links
 * @throws Error naming the directory that others can write to
 */
export function makeSafeDirectory(path: string, uid: number): string {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const real = realpathSync(path);
  for (let directory = real; ; directory = dirname(directory)) {
    const stats = lstatSync(directory);
    const isLast = directory === real;
    if (!isTrusted(stats, uid)) throw new Error(`${directory} belongs to user ${stats.uid}`);
    // In a sticky directory nobody can rename or remove what is another's; in the last one others could add.
    if ((stats.mode & writableByOthers) !== 0 && (isLast || (stats.mode & sticky) === 0)) {
      throw new Error(`${directory} is writable by others (mode ${(stats.mode & 0o7777).toString(8)})`);
    }
    if (dirname(directory) === directory) return real;
  }
}

/** Whether this user has the directory to itself. */
export function isPrivate(stats: Stats, uid: number): boolean {
  return stats.isDirectory() && isTrusted(stats, uid) && (stats.mode & accessibleByOthers) === 0;
}

function isTrusted(stats: Stats, uid: number): boolean {
  return stats.uid === 0 || stats.uid === uid;
}
