import type { KeyPath, Table } from "./key-path.ts";
import { formatKeyPath, isTable, startsWith, valueAt } from "./key-path.ts";

/** A value that has no place in the newest layout. */
export interface DroppedValue {
  /** Where it stood in the text. */
  readonly path: KeyPath;
  readonly reason: string;
  /** Whether it said nothing, so that its absence changes nothing. */
  readonly isQuiet: boolean;
}

/** A document in the newest layout. */
export interface Migrated {
  readonly table: Table;
  /** Where moved keys stood in the text: old paths by `JSON.stringify` of the new ones. */
  readonly origins: ReadonlyMap<string, KeyPath>;
  readonly dropped: readonly DroppedValue[];
}

/** How {@link Migration.move} treats special cases. */
export interface MoveOptions {
  /** A zero value (`""`, `0`, `false`) means "not set" and is dropped. */
  readonly dropZero?: boolean;
  /** The moved value wins over one that is in its new place already. */
  readonly overwrite?: boolean;
}

/** A table on its way to the newest layout, with a record of what was moved and dropped. */
export class Migration implements Migrated {
  readonly table: Table;
  readonly origins: Map<string, KeyPath> = new Map();
  readonly dropped: DroppedValue[] = [];

  /** @param table not changed */
  constructor(table: Table) {
    this.table = structuredClone(table);
  }

  /** Moves a value if it is there. When the new place is taken, one of the two is dropped. */
  move(from: KeyPath, to: KeyPath, options: MoveOptions = {}): void {
    const value = valueAt(this.table, from);
    if (value === undefined) return;
    if (options.dropZero === true && isZero(value)) {
      this.drop(from, "it sets nothing");
      return;
    }
    if (valueAt(this.table, to) !== undefined) {
      const [loser, winner] = options.overwrite === true ? [to, from] : [from, to];
      this.drop(loser, `it is ignored, because ${formatKeyPath(this.originOf(winner))} is set too`, false);
      if (loser === from) return;
    }
    const origin = this.originOf(from);
    this.#remove(from);
    this.origins.delete(JSON.stringify(from));
    this.origins.set(JSON.stringify(to), origin);
    this.set(to, value);
  }

  /** Moves what is in a table, and in tables of both places key by key, so that nothing is overwritten as a whole. */
  moveTree(from: KeyPath, to: KeyPath): void {
    if (!isTable(valueAt(this.table, from)) || !isTable(valueAt(this.table, to))) {
      this.move(from, to);
      return;
    }
    for (const key of this.keys(from)) this.moveTree([...from, key], [...to, key]);
    this.removeEmpty(from);
  }

  /** Moves every key of a table; `rename` maps keys, by default to themselves. Zero values are dropped. */
  moveKeys(from: KeyPath, to: KeyPath, rename: (key: string) => string | undefined = (key) => key): void {
    for (const key of this.keys(from)) {
      const renamed = rename(key);
      if (renamed !== undefined) this.move([...from, key], [...to, renamed], { dropZero: true });
    }
    this.removeEmpty(from);
  }

  /** Removes a value, with the reason. */
  drop(path: KeyPath, reason: string, isQuiet = true): void {
    this.record(path, reason, isQuiet);
    this.#remove(path);
  }

  /** Notes that a value has no place any more, without removing it. */
  record(path: KeyPath, reason: string, isQuiet = true): void {
    this.dropped.push({ path: this.originOf(path), reason, isQuiet });
  }

  /** Sets a value; tables on the way to it are made. */
  set(path: KeyPath, value: unknown): void {
    let parent = this.table;
    for (const part of path.slice(0, -1)) {
      if (!isTable(parent[part])) parent[part] = Object.create(null) as Table;
      parent = parent[part] as Table;
    }
    const last = path.at(-1);
    if (last !== undefined) parent[last] = value;
  }

  keys(path: KeyPath): string[] {
    const value = valueAt(this.table, path);
    return isTable(value) ? Object.keys(value) : [];
  }

  removeEmpty(path: KeyPath): void {
    if (isTable(valueAt(this.table, path)) && this.keys(path).length === 0) this.#remove(path);
  }

  /** Where the value at `path` stood in the text. */
  originOf(path: KeyPath): KeyPath {
    for (let length = path.length; length > 0; length--) {
      const origin = this.origins.get(JSON.stringify(path.slice(0, length)));
      if (origin !== undefined) return [...origin, ...path.slice(length)];
    }
    return path;
  }

  #remove(path: KeyPath): void {
    const parent = valueAt(this.table, path.slice(0, -1));
    const last = path.at(-1);
    if (last !== undefined && isTable(parent)) delete parent[last];
  }
}

/** Where a value of the text is in the newest layout: by the longest part of its path that was moved. */
export function destinationOf(migrated: Migrated, path: KeyPath): KeyPath {
  let [best, length]: [KeyPath, number] = [path, 0];
  for (const [key, origin] of migrated.origins) {
    if (origin.length <= length || !startsWith(path, origin)) continue;
    [best, length] = [[...(JSON.parse(key) as KeyPath), ...path.slice(origin.length)], origin.length];
  }
  return best;
}

function isZero(value: unknown): boolean {
  return value === "" || value === 0 || value === false;
}
