/**
 * Volumes: directories that outlive containers, in `<root>/volumes/<namespace>/<name>/_data` as nerdctl has them.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { errnoOf, messageOf } from "@ctrd/core/errors";
import { checkIdentifier } from "@ctrd/core/identifiers";
import { flock, hasErrno, LockOperation, namesIn, removeTreeAt } from "@ctrd/sys";
import { CommandFailure } from "../failure.ts";

/** A volume. */
export interface Volume {
  readonly name: string;
  /** Directory with what it holds. */
  readonly data: string;
  readonly createdAt: string;
  readonly labels: Readonly<Record<string, string>>;
  /** It was made for one container, and goes with that. */
  readonly isAnonymous: boolean;
  /** Socket of the daemon whose container it was made for, or where it was made by hand. */
  readonly daemon: string;
}

/** What is noted of a volume. */
type Metadata = Omit<Volume, "name" | "data">;

const dataName = "_data";
const metadataName = "volume.json";
/** A volume on its way in or out. No name of a volume begins with it. */
const hiddenPrefix = ".";
const lockPollMs = 50;

/** @throws CommandFailure that names the flag */
export function checkVolumeName(flag: string, name: string): void {
  try {
    checkIdentifier("volume name", name);
  } catch (error) {
    throw new CommandFailure(`${flag}: ${messageOf(error).replace(/: invalid argument$/, "")}`, {
      remedy: `for a directory write its path: ./${name}`,
      cause: error,
    });
  }
}

/** The volumes of a namespace. */
export class VolumeStore {
  /** Directory of all of them. */
  readonly directory: string;
  readonly #daemon: string;

  /** @param root root of the command line's files */
  constructor(root: string, namespace: string, daemon: string) {
    this.directory = join(root, "volumes", namespace);
    this.#daemon = daemon;
  }

  /** Makes a volume, durably, unless it is there. @param name undefined: an anonymous one */
  async create(
    name: string | undefined,
    labels: Readonly<Record<string, string>> = {},
  ): Promise<{ volume: Volume; isNew: boolean }> {
    const id = name ?? randomBytes(32).toString("hex");
    const found = await this.find(id);
    if (found !== undefined) return { volume: found, isNew: false };
    await mkdir(this.directory, { recursive: true, mode: 0o711 });
    const hidden = join(this.directory, `${hiddenPrefix}new-${randomBytes(8).toString("hex")}`);
    const createdAt = new Date().toISOString();
    await mkdir(join(hidden, dataName), { recursive: true, mode: 0o755 });
    await writeMetadata(hidden, { createdAt, labels, isAnonymous: name === undefined, daemon: this.#daemon });
    try {
      await rename(hidden, join(this.directory, id));
    } catch (error) {
      await this.#removeHidden(hidden);
      // Somebody was faster.
      if (errnoOf(error) !== "ENOTEMPTY" && errnoOf(error) !== "EEXIST") throw error;
      return { volume: await this.get(id), isNew: false };
    }
    await syncDirectory(this.directory);
    return { volume: await this.get(id), isNew: true };
  }

  /** @throws CommandFailure when there is none */
  async get(name: string): Promise<Volume> {
    const volume = await this.find(name);
    if (volume !== undefined) return volume;
    throw new CommandFailure(`no volume "${name}"`, { remedy: "list all with: ctrd volume ls" });
  }

  /** Undefined when there is none. */
  async find(name: string): Promise<Volume | undefined> {
    checkVolumeName("volume", name);
    const directory = join(this.directory, name);
    try {
      const metadata = JSON.parse(await readFile(join(directory, metadataName), "utf8")) as Metadata;
      return { name, data: join(directory, dataName), ...metadata };
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  /** All volumes, by name. */
  async list(): Promise<Volume[]> {
    const names = await namesIn(this.directory);
    const volumes = names.filter((name) => !name.startsWith(hiddenPrefix)).map((name) => this.find(name));
    return (await Promise.all(volumes)).filter((volume) => volume !== undefined).toSorted((a, b) => order(a, b));
  }

  /** Removes a volume with all that it holds. Whether it is used is the caller's to know. */
  async remove(name: string): Promise<void> {
    const { data } = await this.get(name);
    const hidden = join(this.directory, `${hiddenPrefix}old-${randomBytes(8).toString("hex")}`);
    await rename(join(data, ".."), hidden);
    await syncDirectory(this.directory);
    await this.#removeHidden(hidden);
  }

  async #removeHidden(hidden: string): Promise<void> {
    await using directory = await open(this.directory);
    removeTreeAt(directory.fd, hidden.slice(this.directory.length + 1));
  }

  /**
   * Keeps others from removing volumes (`shared`) or from giving them to new containers while they are removed
   * (`exclusive`). Disposing ends it.
   */
  async lock(kind: "shared" | "exclusive", signal: AbortSignal): Promise<AsyncDisposable> {
    await mkdir(this.directory, { recursive: true, mode: 0o711 });
    return lockDirectory(this.directory, kind, signal);
  }

  /** Keeps others from filling a volume. Disposing ends it. */
  lockVolume({ data }: Volume, signal: AbortSignal): Promise<AsyncDisposable> {
    return lockDirectory(join(data, ".."), "exclusive", signal);
  }

  /** Name of the volume that a path of the host is in; undefined when it is in none. */
  nameOf(path: string): string | undefined {
    if (!path.startsWith(`${this.directory}/`)) return undefined;
    const [name, data] = path.slice(this.directory.length + 1).split("/");
    return data === dataName ? name : undefined;
  }
}

function order(a: Volume, b: Volume): number {
  return a.name < b.name ? -1 : 1;
}

async function lockDirectory(
  path: string,
  kind: "shared" | "exclusive",
  signal: AbortSignal,
): Promise<AsyncDisposable> {
  const handle = await open(path);
  const operation = (kind === "shared" ? LockOperation.Shared : LockOperation.Exclusive) | LockOperation.NonBlocking;
  try {
    while (!isLocked(handle, operation)) await sleep(lockPollMs, undefined, { signal });
  } catch (error) {
    await handle.close();
    throw error;
  }
  return handle;
}

function isLocked({ fd }: FileHandle, operation: number): boolean {
  try {
    flock(fd, operation);
    return true;
  } catch (error) {
    if (hasErrno(error, "EAGAIN")) return false;
    throw error;
  }
}

async function writeMetadata(directory: string, metadata: Metadata): Promise<void> {
  await using file = await open(join(directory, metadataName), "wx", 0o600);
  await file.writeFile(JSON.stringify(metadata, undefined, 2));
  await file.sync();
  await syncDirectory(directory);
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path);
  await directory.sync();
}
