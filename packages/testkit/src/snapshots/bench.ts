import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CallContext } from "@ctrd/core/context";
import { createContext } from "@ctrd/core/context";
import type { Mount } from "@ctrd/core/records";
import type { CommitSnapshotOptions, SnapshotInfo, Snapshotter } from "@ctrd/core/snapshots";
import { mountAll, readMountInfo, unmountAll } from "@ctrd/sys";

/** An open snapshotter; `close` ends what was started for it and leaves its root. */
export interface OpenedSnapshotter {
  snapshotter: Snapshotter;
  close(): Promise<void>;
}

/** Opens the snapshotter under test with its files in `root`, an existing empty directory or one it used before. */
export type OpenSnapshotter = (root: string) => Promise<OpenedSnapshotter>;

/** What one test works with: a snapshotter in a fresh directory, and mounts that are undone at the end. */
export class SnapshotBench {
  readonly ctx: CallContext = createContext({ namespace: "testkit" });
  /** The snapshotter's root. */
  readonly root: string;
  readonly #open: OpenSnapshotter;
  readonly #directory: string;
  readonly #mounted = new Set<string>();
  #opened: OpenedSnapshotter;
  #counter = 0;

  private constructor(open: OpenSnapshotter, directory: string, root: string, opened: OpenedSnapshotter) {
    this.#open = open;
    this.#directory = directory;
    this.root = root;
    this.#opened = opened;
  }

  /** Makes the directories and opens the snapshotter. */
  static async start(open: OpenSnapshotter): Promise<SnapshotBench> {
    const directory = mkdtempSync(join(tmpdir(), "snapshot-suite-"));
    const root = join(directory, "root");
    mkdirSync(root);
    return new SnapshotBench(open, directory, root, await open(root));
  }

  get snapshotter(): Snapshotter {
    return this.#opened.snapshotter;
  }

  /** Closes the snapshotter and opens it again in the same root. */
  async reopen(): Promise<void> {
    await this.#opened.close();
    this.#opened = await this.#open(this.root);
  }

  /** A new empty directory of mode 0755. */
  directory(name = "dir"): string {
    const path = join(this.#directory, `${name}-${this.#counter++}`);
    mkdirSync(path, 0o755);
    return path;
  }

  /** Performs `mounts` on a new directory; undone at the end of the test at the latest. */
  mount(mounts: readonly Mount[]): string {
    const target = this.directory("mnt");
    this.#mounted.add(target);
    mountAll(mounts, target);
    return target;
  }

  /** Unmounts what {@link SnapshotBench.mount} mounted. */
  unmount(target: string): void {
    unmountAll(target);
    this.#mounted.delete(target);
  }

  /** Mounts, runs `use` on the directory, unmounts. */
  async mounted<T>(mounts: readonly Mount[], use: (directory: string) => T | Promise<T>): Promise<T> {
    const target = this.mount(mounts);
    try {
      return await use(target);
    } finally {
      this.unmount(target);
    }
  }

  /** Prepares the active snapshot `key` and runs `change` on it. */
  async active(key: string, parent: string, change: (directory: string) => void = () => {}): Promise<void> {
    await this.mounted(await this.snapshotter.prepare(this.ctx, key, parent), change);
  }

  /** Makes the committed snapshot `name`. */
  async layer(
    name: string,
    parent: string,
    change: (directory: string) => void = () => {},
    options: CommitSnapshotOptions = {},
  ): Promise<string> {
    const key = `active ${name}`;
    await this.active(key, parent, change);
    await this.snapshotter.commit(this.ctx, name, key, options);
    return name;
  }

  /** Runs `look` on a view of `parent`, and removes the view. */
  async view<T>(parent: string, look: (directory: string) => T | Promise<T>): Promise<T> {
    const key = `view ${this.#counter++} of ${parent}`;
    const result = await this.mounted(await this.snapshotter.view(this.ctx, key, parent), look);
    await this.snapshotter.remove(this.ctx, key);
    return result;
  }

  /** Everything that walk yields. */
  async walk(filters: readonly string[] = []): Promise<SnapshotInfo[]> {
    const found: SnapshotInfo[] = [];
    for await (const info of this.snapshotter.walk(this.ctx, filters)) found.push(info);
    return found;
  }

  /** Sorted names of what walk yields. */
  async names(filters: readonly string[] = []): Promise<string[]> {
    return (await this.walk(filters)).map((info) => info.name).sort();
  }

  /** Removes every snapshot, children first. */
  async removeAll(): Promise<void> {
    for (let left = await this.walk(); left.length > 0; left = await this.walk()) {
      const parents = new Set(left.map((info) => info.parent));
      for (const info of left) if (!parents.has(info.name)) await this.snapshotter.remove(this.ctx, info.name);
    }
  }

  /**
   * Unmounts, closes and deletes.
   *
   * @returns mount points that the snapshotter itself left behind; they are unmounted too
   */
  async end(): Promise<string[]> {
    for (const target of Array.from(this.#mounted)) this.unmount(target);
    await this.#opened.close();
    const left = readMountInfo()
      .map((info) => info.mountPoint)
      .filter((path) => path.startsWith(`${this.#directory}/`));
    for (const path of left.toReversed()) unmountAll(path);
    rmSync(this.#directory, { recursive: true, force: true });
    return left;
  }
}
