/**
 * What a stranger has: npm, no compiler, and folders whose dependencies npm has installed from tarballs.
 */
import { mkdirSync, readdirSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { nodeBinary, startDaemon as startProgram } from "@ctrd/testkit/fixtures";
import { run, runOk } from "./command.ts";
import { Daemon } from "./daemon.ts";
import { npmConfig } from "./npm-registry.ts";

const compilers =
  /^(?:.*-)?(?:cc|c\+\+|c[89]9|gcc|g\+\+|cpp|clang|clang\+\+|tcc|as|ld|make|gmake|cmake|ninja|rustc|go)(?:-[\d.]+)?$/;

/** A machine to install on: no compiler, Node 24, and npm with a registry of the test's own. */
export class Machine {
  readonly env: Record<string, string>;

  /** @param dir where its directory of programs is made; the `PATH` of {@link Machine.env} is that alone */
  constructor(dir: string, npmRegistry: string) {
    const bin = join(dir, "bin");
    mkdirSync(bin);
    symlinkSync(realpathSync(nodeBinary()), join(bin, "node"));
    for (const directory of ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]) linkPrograms(directory, bin);
    // npx keeps what it has installed in its cache; what npm has downloaded may well be shared.
    const cache = join(dir, "npm-cache");
    mkdirSync(cache);
    symlinkSync(join(npmConfig("cache"), "_cacache"), join(cache, "_cacache"));
    this.env = {
      PATH: bin,
      npm_config_cache: cache,
      npm_config_registry: npmRegistry,
      npm_config_noproxy: "127.0.0.1",
      npm_config_prefer_offline: "true",
      npm_config_fund: "false",
      npm_config_audit: "false",
      NO_COLOR: "1",
      FORCE_COLOR: "0",
    };
  }

  /** Runs a program and returns its stdout. @throws when it does not exit with 0 */
  async run(cwd: string, program: string, ...args: string[]): Promise<string> {
    return runOk(join(this.env["PATH"] ?? "", program), args, { cwd, env: this.env, timeoutMs: 120_000 });
  }

  /** Names of the compilers that can be found. */
  async compilers(): Promise<string> {
    const probe = "for name in cc c++ gcc g++ clang make cmake; do command -v $name; done; true";
    return (await run("/bin/sh", ["-c", probe], { env: this.env })).stdout;
  }
}

function linkPrograms(from: string, to: string): void {
  const present = new Set(readdirSync(to));
  for (const name of readdirSync(from)) {
    if (!present.has(name) && !compilers.test(name)) symlinkSync(join(from, name), join(to, name));
  }
}

/** Starts the `ctrd` that is installed in the app folder `app`, with its data in `dir`. */
export async function startApp(machine: Machine, app: string, dir: string, config = ""): Promise<Daemon> {
  const [root, state, tmp] = [join(dir, "root"), join(dir, "state"), join(dir, "tmp")];
  const [address, file, log] = [join(dir, "d.sock"), join(dir, "config.toml"), join(dir, "log")];
  mkdirSync(tmp, { recursive: true });
  writeFileSync(
    file,
    `version = 3
root = "${root}"
state = "${state}"
${config}
[grpc]
address = "${address}"
[ttrpc]
address = "${address}.ttrpc"
`,
  );
  const args = [join(app, "node_modules/.bin/ctrd"), "--app", app, "--config", file];
  const env = { ...process.env, ...machine.env, TMPDIR: tmp };
  const program = join(machine.env["PATH"] ?? "", "node");
  const fixture = await startProgram({
    ...{ name: `ctrd of ${app}`, program, args, address, root, state, config: file, logFile: log, env, cwd: app },
    cleanUp: () => Promise.resolve(),
  });
  return new Daemon("ctrd", dir, fixture);
}
