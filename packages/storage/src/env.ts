/**
 * A durable LMDB environment: synchronous reads of the last committed state, grouped writes that are on disk when
 * their promise resolves.
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import {
  ContainerdError,
  failedPrecondition,
  internal,
  messageOf,
  resourceExhausted,
  unavailable,
} from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import { open } from "lmdb";
import type { Database, RootDatabase } from "lmdb";
import { closeOnExec } from "./close-on-exec.ts";
import { checkFile, checkSpace, freeBytes, neededBytes } from "./file-check.ts";

/**
 * A key: a string, a number, or an array of them. Arrays sort element by element, so `["a", "b"]` is found between
 * `["a"]` and `["a", "\uffff"]`. At most 1978 bytes once encoded (UTF-8, plus one byte between elements).
 */
export type DurableKey = string | number | (string | number)[];

/** What kind of records a file holds, so that another kind or a newer layout is refused. */
export interface DurableSchema {
  /** Kind of the records, for example `snapshots`. */
  readonly name: string;
  /** Version of the layout, from 1. */
  readonly version: number;
  /**
   * Brings a file of the older version `from` to this version, inside one transaction: changes that it makes through
   * `env.openDb(…)` are undone when it throws. Without it an older file is refused.
   */
  migrate?(env: DurableEnv, from: number): void;
}

/** Options of {@link openDurableEnv}. */
export interface DurableEnvOptions {
  /** The database file itself; `<path>-lock` is kept beside it. Missing directories are created with mode 0700. */
  path: string;
  /** How many named databases may be opened; 64 by default. */
  maxDbs?: number;
  /** Address space to reserve in bytes. By default the map grows with the file. */
  mapSize?: number;
  /** Never waits for the disk: for throw-away data only. */
  noSync?: boolean;
  /** Checked, and written to a new file, when given. */
  schema?: DurableSchema;
}

/** An open environment. */
export interface DurableEnv {
  readonly path: string;
  /** The root database of lmdb-js, for what this interface lacks. Its own write methods are not to be used. */
  readonly root: RootDatabase<Uint8Array, DurableKey>;
  /**
   * Opens (creates) a named database: binary values, ordered keys. Outside {@link DurableEnv.write}, `get` and
   * `getRange` read the last committed state; inside, they see the writes made so far.
   *
   * `get` copies the value. `getBinaryFast` does not: its buffer is overwritten by the next read.
   */
  openDb(name: string): Database<Uint8Array, DurableKey>;
  /**
   * Runs `fn` inside the next grouped write transaction; it may call `put`, `remove` and the reads of any database of
   * this environment, and must not be asynchronous. Writers that wait together share one transaction and one sync.
   *
   * @returns what `fn` returned, once the data is on disk. State kept in memory is to be changed after that, not in `fn`.
   * @throws what `fn` threw: then only its own writes are undone. `resource-exhausted` when the disk is full and
   *   `unavailable` for any other failure to write: then nothing of the group was stored.
   */
  write<T>(fn: () => T): Promise<T>;
  /** Waits for the pending writes and closes. Closing again does nothing. */
  close(): Promise<void>;
}

/**
 * Opens or creates an environment.
 *
 * @throws `data-loss` when the file is damaged or not a database, `failed-precondition` when it was made by a newer
 *   version or for something else, `unavailable` when it cannot be opened.
 */
export function openDurableEnv(options: DurableEnvOptions): DurableEnv {
  const { path } = options;
  prepareFile(path);
  checkSpace(path);
  checkFile(path);
  const root = openRoot(options);
  const env = createEnv(path, root);
  try {
    closeOnExec(path);
    if (options.schema !== undefined) checkSchema(env, options.schema);
  } catch (error) {
    void env.close();
    throw error;
  }
  return env;
}

/** Makes the directory and the two files, so that their modes are not left to the umask. */
function prepareFile(path: string): void {
  const directory = dirname(path);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (existsSync(path)) return;
  for (const file of [path, `${path}-lock`]) closeSync(openSync(file, "a", 0o600));
  const fd = openSync(directory, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function openRoot(options: DurableEnvOptions): RootDatabase<Uint8Array, DurableKey> {
  try {
    return open<Uint8Array, DurableKey>({
      path: options.path,
      noSubdir: true,
      encoding: "binary",
      maxDbs: options.maxDbs ?? 64,
      // With overlapping sync a transaction's promise resolves before its pages are on disk. Grouping makes the plain
      // order as fast.
      overlappingSync: false,
      // With it, a failed commit also rejects a promise that lmdb-js gives to nobody, which would end the process.
      eventTurnBatching: false,
      noSync: options.noSync ?? false,
      ...(options.mapSize === undefined ? {} : { mapSize: options.mapSize }),
    });
  } catch (error) {
    throw unavailable(
      `open database ${options.path}: ${messageOf(error)} (is the disk full, or the file of another program?)`,
      { cause: error },
    );
  }
}

function createEnv(path: string, root: RootDatabase<Uint8Array, DurableKey>): DurableEnv {
  const databases = new Map<string, Database<Uint8Array, DurableKey>>();
  let closing: Promise<void> | undefined;
  const checkOpen = (): void => {
    if (closing !== undefined) throw failedPrecondition(`database ${path} is closed`);
  };
  return {
    path,
    root,
    openDb(name) {
      checkOpen();
      let database = databases.get(name);
      if (database === undefined) {
        database = root.openDB<Uint8Array, DurableKey>({ name, encoding: "binary" });
        databases.set(name, database);
      }
      return database;
    },
    async write(fn) {
      checkOpen();
      FAILPOINT: if (failpoints.on) await failpoints.at("database.write");
      // Only a child transaction is undone when its callback throws; a plain one would keep half of the writes.
      try {
        const result = await root.childTransaction(() => runSync(path, fn));
        FAILPOINT: if (failpoints.on) await failpoints.at("database.written");
        return result;
      } catch (error) {
        throw await writeError(path, error);
      }
    },
    close() {
      closing ??= root.close();
      return closing;
    },
  };
}

function runSync<T>(path: string, fn: () => T): T {
  const result = fn();
  if (typeof result === "object" && result !== null && "then" in result && typeof result.then === "function") {
    throw internal(`write to database ${path}: the callback is asynchronous, which would hold the write lock`);
  }
  return result;
}

/** With less than this an I/O error is one of space: transactions are smaller. */
const littleBytes = 32 << 20;

/** A failed commit carries a promise that rejects with the reason; anything else is what the callback threw. */
async function writeError(path: string, error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || !("commitError" in error)) return error;
  let cause: unknown = error;
  try {
    await error.commitError;
  } catch (reason) {
    cause = reason;
  }
  const text = messageOf(cause);
  if (/no space left|quota/i.test(text)) {
    return resourceExhausted(`write to database ${path}: ${text} (free space on its filesystem)`, { cause });
  }
  // A write that a full disk cuts short is an I/O error to LMDB, whatever little is free afterwards.
  const free = freeBytes(path);
  return free < (/input\/output/i.test(text) ? littleBytes : neededBytes)
    ? resourceExhausted(
        `write to database ${path}: no space left on its filesystem, ${free} bytes are free (free some): ${text}`,
        { cause },
      )
    : unavailable(`write to database ${path}: ${text}`, { cause });
}

/** Reads or writes the schema record of the database `meta`. */
function checkSchema(env: DurableEnv, schema: DurableSchema): void {
  const meta = env.openDb("meta");
  const stored = meta.get("schema");
  if (stored === undefined) {
    meta.putSync("schema", encodeSchema(schema));
    return;
  }
  const found = decodeSchema(env.path, stored);
  if (found.name !== schema.name) {
    throw failedPrecondition(`database ${env.path} holds ${found.name}, not ${schema.name} (move it away)`);
  }
  if (found.version > schema.version) {
    throw failedPrecondition(
      `database ${env.path} has layout ${found.version} of ${schema.name}, this program knows ${schema.version}` +
        " (use the newer program, or move the file away)",
    );
  }
  if (found.version < schema.version) migrateSchema(env, schema, found.version);
}

function migrateSchema(env: DurableEnv, schema: DurableSchema, from: number): void {
  const { migrate } = schema;
  if (migrate === undefined) {
    throw failedPrecondition(`database ${env.path} has layout ${from} of ${schema.name}, which is no longer read`);
  }
  env.root.transactionSync(() => {
    migrate(env, from);
    void env.openDb("meta").put("schema", encodeSchema(schema));
  });
}

function encodeSchema(schema: DurableSchema): Uint8Array {
  return Buffer.from(JSON.stringify({ name: schema.name, version: schema.version }));
}

function decodeSchema(path: string, bytes: Uint8Array): { name: string; version: number } {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    if (typeof value === "object" && value !== null && "name" in value && "version" in value) {
      return { name: String(value.name), version: Number(value.version) };
    }
  } catch (error) {
    throw new ContainerdError("data-loss", `database ${path}: unreadable schema record`, { cause: error });
  }
  throw new ContainerdError("data-loss", `database ${path}: malformed schema record`);
}
