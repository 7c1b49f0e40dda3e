/** A single executable made by `ctrd build`, on a machine that has nothing of what it was made from. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestDaemon } from "@ctrd/testkit/fixtures";
import { connects, runCommand, startBackground, waitUntilReady } from "@ctrd/testkit/fixtures";
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
  const start = async (): ReturnType<typeof startBackground> => {
    const options = { env: { ...environment, TMPDIR: tmp }, cwd: dir };
    const started = await startBackground(binary, ["--config", config], log, options);
    await waitUntilReady(binary, started, () => connects(address));
    return started;
  };
  let running = await start();
  const fixture: TestDaemon = {
    ...{ address, root, state, config },
    get pid() {
      return running.pid;
    },
    logs: () => running.output(),
    stop: () => running.stop("SIGTERM"),
    kill9: () => running.stop("SIGKILL"),
    async restart() {
      await running.stop("SIGTERM");
      running = await start();
    },
    ctr: (args, options = {}) =>
      runCommand("ctr", ["--address", address, "--namespace", options.namespace ?? "default", ...args], options),
    [Symbol.asyncDispose]: () => running.stop("SIGTERM"),
  };
  return new Daemon("ctrd", dir, fixture);
}
