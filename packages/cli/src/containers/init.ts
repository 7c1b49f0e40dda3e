/**
 * `--init`: a small program of the host as the first process, which takes care of what others leave behind.
 *
 * @module
 */
import { constants } from "node:fs";
import { access, open } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "@ctrd/core/errors";
import type { SpecOption } from "@ctrd/oci";
import { bindMount, withMounts } from "@ctrd/oci";
import { CommandFailure } from "../failure.ts";

/** Programs that can be it. All take the command after `--`. */
const programs = ["docker-init", "tini-static", "catatonit", "tini"];
const directories = ["/usr/libexec/docker", "/usr/libexec/podman", "/usr/local/bin", "/usr/bin", "/usr/sbin", "/sbin"];
/** Where Docker has it. */
const destination = "/sbin/docker-init";

/** Finds a program to be the first process. @throws CommandFailure when there is none that runs everywhere */
export async function findInit(path: string = process.env["PATH"] ?? ""): Promise<string> {
  let linked: string | undefined;
  for (const program of programs) {
    for (const directory of [...path.split(":").filter((one) => one.startsWith("/")), ...directories]) {
      const file = join(directory, program);
      if (!(await isExecutable(file))) continue;
      if (await isStatic(file)) return file;
      linked ??= file;
    }
  }
  const found = linked === undefined ? "" : ` (${linked} needs libraries that images may lack)`;
  throw new CommandFailure(`--init needs one of ${programs.join(", ")} on this machine${found}`, {
    exitCode: 125,
    remedy: "on Debian: apt-get install tini",
  });
}

/** Runs what the spec runs as a child of the program. */
export function withInit(program: string): SpecOption {
  return async (context, spec) => {
    await withMounts(bindMount(program, destination, { readonly: true, options: ["nosuid", "nodev"] }))(context, spec);
    if (spec.process !== undefined) spec.process.args = [destination, "--", ...(spec.process.args ?? [])];
  };
}

async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return true;
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EACCES"].includes(errnoOf(error) ?? "")) return false;
    throw error;
  }
}

const elfHeaderBytes = 64;
/** Type of the program header that names a dynamic linker. */
const interpreter = 3;

/** Whether a 64-bit ELF file names no dynamic linker. */
async function isStatic(file: string): Promise<boolean> {
  await using handle = await open(file);
  const header = Buffer.alloc(elfHeaderBytes);
  await handle.read(header, 0, elfHeaderBytes, 0);
  if (header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2) return false;
  const [offset, size, count] = [Number(header.readBigUInt64LE(32)), header.readUInt16LE(54), header.readUInt16LE(56)];
  const table = Buffer.alloc(size * count);
  await handle.read(table, 0, table.length, offset);
  for (let at = 0; at + 4 <= table.length; at += size) if (table.readUInt32LE(at) === interpreter) return false;
  return count > 0;
}
