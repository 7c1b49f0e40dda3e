/**
 * Finds shim binaries, and how each wants to be started.
 *
 * @module
 */
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { notFound } from "@ctrd/core/errors";
import { succeeded } from "@ctrd/sys";
import { isBinaryPath, shimBinaryName } from "./binary-name.ts";
import type { StartEncoding } from "./bootstrap.ts";
import { startEncodingOf } from "./bootstrap.ts";
import { runShimBinary } from "./program.ts";

/** A shim binary that exists. */
export interface ShimProgram {
  readonly path: string;
  /** What its `start` reads from standard input. */
  readonly encoding: StartEncoding;
  /** Path, modification time and size. */
  readonly identity: string;
}

/** How long a binary may take to tell its version, in milliseconds. */
const versionTimeoutMs = 5000;

/** Finds binaries by runtime name. Answers are kept. */
export class BinaryLookup {
  readonly #daemonBinary: string;
  readonly #searchPath: string;
  readonly #paths: Map<string, string> = new Map();
  /** By path, modification time and size: an upgraded binary is asked again. */
  readonly #encodings: Map<string, Promise<StartEncoding>> = new Map();

  /**
   * @param daemonBinary the daemon's executable: shims beside it are found
   * @param searchPath `PATH`
   */
  constructor(daemonBinary: string, searchPath: string = process.env.PATH ?? "") {
    this.#daemonBinary = daemonBinary;
    this.#searchPath = searchPath;
  }

  /**
   * Path of the binary of `runtime`.
   *
   * @throws ContainerdError `invalid-argument` for a malformed name, `not-found` when the binary is missing
   */
  async path(runtime: string): Promise<string> {
    if (isBinaryPath(runtime)) {
      if (await isExecutable(runtime)) return runtime;
      throw notFound(`shim binary ${runtime} does not exist or is not executable`);
    }
    const name = shimBinaryName(runtime);
    const known = this.#paths.get(name);
    if (known !== undefined && (await isExecutable(known))) return known;
    for (const directory of [...this.#searchPath.split(":"), dirname(this.#daemonBinary)]) {
      const candidate = join(directory, name);
      if (directory === "" || !(await isExecutable(candidate))) continue;
      this.#paths.set(name, candidate);
      return candidate;
    }
    throw notFound(`runtime "${runtime}": ${name} is not in PATH (${this.#searchPath}) nor beside the daemon`);
  }

  /** Path of the binary of `runtime`, and what it reads. The binary is run with `-v` once. Errors are those of `path`. */
  async program(runtime: string): Promise<ShimProgram> {
    const path = await this.path(runtime);
    const { mtimeMs, size } = await stat(path);
    const identity = `${path}\0${mtimeMs}\0${size}`;
    let encoding = this.#encodings.get(identity);
    if (encoding === undefined) {
      encoding = askVersion(path).then((version) => startEncodingOf(path, version));
      this.#encodings.set(identity, encoding);
    }
    return { path, encoding: await encoding, identity };
  }

  /** Looks a binary up ahead of its first use, so that this does not wait for `-v`. A missing one is fine. */
  async warm(runtime: string): Promise<void> {
    try {
      await this.program(runtime);
    } catch {
      // The first use will report it.
    }
  }

  /** Remembers that a binary reads another encoding than its version told. */
  learn(program: ShimProgram, encoding: StartEncoding): void {
    this.#encodings.set(program.identity, Promise.resolve(encoding));
  }
}

/** What a binary says to `-v`; whatever it says or does, the answer only chooses an encoding. */
async function askVersion(path: string): Promise<string> {
  try {
    const result = await runShimBinary({ path, args: ["-v"], timeoutMs: versionTimeoutMs });
    return succeeded(result.end) ? result.stdout.toString() : "";
  } catch {
    // A binary that cannot even tell its version will fail again at its start, and that error is reported.
    return "";
  }
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    // Whatever the reason, it cannot be run; the caller names every place that was searched.
    return false;
  }
}
