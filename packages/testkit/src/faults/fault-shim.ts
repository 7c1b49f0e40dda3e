/**
 * A shim that misbehaves: a real one behind a program that breaks the calls that a test names.
 *
 * @module
 */
import { chmod, mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { nodeBinary } from "../fixtures/ctrd.ts";
import { mustRun } from "../fixtures/process.ts";

/** What becomes of a call to the shim. */
export type ShimFault =
  /** It never gets there, and is never answered. */
  | { readonly stall: true }
  /** It is answered with an error: a gRPC status code and its message. */
  | { readonly code: number; readonly message: string }
  /** It gets there so many milliseconds later. */
  | { readonly delayMs: number }
  /** The shim is killed (SIGKILL) instead of getting it. What runs in its container is not. */
  | { readonly kill: true };

/** Faults by the method's name: `Create`, `Start`, `State`, `Wait`, `Kill`, `Delete`, `Shutdown`, … */
export type ShimFaults = Readonly<Record<string, ShimFault>>;

/** A runtime whose shims can be told to misbehave. */
export interface FaultShim {
  /** What to give as the runtime of a container: the path of its binary. */
  readonly runtime: string;
  /** From now on, also in shims that run: these calls are broken, all others pass. */
  set(faults: ShimFaults): Promise<void>;
}

/**
 * Makes such a runtime in `directory`. Its shims end with the real ones, and leave nothing but the directory.
 *
 * @param shim the real one; `containerd-shim-runc-v2` when absent
 */
export async function makeFaultShim(directory: string, shim = "containerd-shim-runc-v2"): Promise<FaultShim> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const faults = join(directory, "faults.json");
  const set = async (wanted: ShimFaults): Promise<void> => {
    // Shims may be reading it.
    await writeFile(`${faults}.new`, JSON.stringify(wanted));
    await rename(`${faults}.new`, faults);
  };
  await set({});
  const { stdout } = await mustRun("sh", ["-c", 'command -v "$1"', "sh", shim]);
  const program = new URL(import.meta.url.replace("fault-shim.", "fault-shim-program."));
  const flags = program.pathname.endsWith(".ts") ? ["--conditions=ctrd-source", "--no-warnings"] : [];
  const command = [nodeBinary(), ...flags, fileURLToPath(program), faults, stdout.trim()].map((word) => `'${word}'`);
  const runtime = join(directory, "containerd-shim-fault-v2");
  await writeFile(runtime, `#!/bin/sh\nexec ${command.join(" ")} "$@"\n`);
  await chmod(runtime, 0o755);
  return { runtime, set };
}
