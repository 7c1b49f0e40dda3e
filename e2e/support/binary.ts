/** A single executable made by `ctrd build`, on a machine that has nothing of what it was made from. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startDaemon as startProgram } from "@ctrd/testkit/fixtures";
import { findProgram } from "./command.ts";
import { Daemon } from "./daemon.ts";

/** Makes a directory of programs that has the named ones and nothing else. */
export function programDirectory(path: string, programs: readonly string[]): string {
  mkdirSync(path);
  for (const name of programs) {
    const program = findProgram(name);
    if (program === undefined) throw new Error(`${name} is missing`);
    symlinkSync(program, join(path, name));
  }
  return path;
}

/** Starts an executable as a daemon, with its data in `dir` and no environment but the given one. */
export async function startBinary(binary: string, dir: string, environment: NodeJS.ProcessEnv): Promise<Daemon> {
  const [root, state, tmp] = [join(dir, "root"), join(dir, "state"), join(dir, "tmp")];
  const [address, config, log] = [join(dir, "d.sock"), join(dir, "config.toml"), join(dir, "log")];
  mkdirSync(tmp, { recursive: true });
  const directories = `version = 3\nroot = "${root}"\nstate = "${state}"\n`;
  writeFileSync(config, `${directories}[grpc]\naddress = "${address}"\n[ttrpc]\naddress = "${address}.ttrpc"\n`);
  const fixture = await startProgram({
    ...{ name: binary, program: binary, args: ["--config", config], address, root, state, config, logFile: log },
    env: { ...environment, TMPDIR: tmp },
    cwd: dir,
    cleanUp: () => Promise.resolve(),
  });
  return new Daemon("ctrd", dir, fixture);
}
