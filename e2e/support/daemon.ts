/** A daemon under test on its own root, state, socket, temp directory and namespace. */
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { startContainerd, startCtrd, type TestDaemon } from "@ctrd/testkit/fixtures";
import type { CommandOptions, CommandResult } from "./command.ts";
import { describe, run, start } from "./command.ts";
import { runName } from "./machine-state.ts";
import { daemonKind, repository } from "./peers.ts";

export interface DaemonOptions {
  readonly kind?: "ctrd" | "containerd";
  /** TOML added to the configuration: top-level keys first. */
  readonly config?: string;
  /** Added to ctrd's command line. */
  readonly args?: readonly string[];
  /** Added to the daemon's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** The program and arguments that serve a config file. */
export function daemonCommand(kind: "ctrd" | "containerd", config: string): [string, string[]] {
  if (kind === "containerd") return ["containerd", ["--config", config]];
  const entry = `${repository}/packages/server/src/main.ts`;
  const flags = ["--conditions=ctrd-source", "--disable-warning=ExperimentalWarning"];
  return [`${repository}/node_modules/.bin/node`, [...flags, entry, "--config", config]];
}

/** The fixture's daemon with the namespace and the container ids that its tests use, so that leaks can be found. */
export class Daemon {
  readonly kind: "ctrd" | "containerd";
  readonly dir: string;
  /** TMPDIR of the daemon and of every ctr. */
  readonly tmp: string;
  readonly namespace: string = `${runName()}-${randomBytes(2).toString("hex")}`;
  /** Every container id and namespace handed out. */
  readonly ids: Set<string> = new Set();
  readonly namespaces: Set<string> = new Set([this.namespace]);
  readonly #fixture: TestDaemon;

  constructor(kind: "ctrd" | "containerd", dir: string, fixture: TestDaemon) {
    [this.kind, this.dir, this.#fixture] = [kind, dir, fixture];
    this.tmp = join(dir, "tmp");
  }

  get address(): string {
    return this.#fixture.address;
  }

  get root(): string {
    return this.#fixture.root;
  }

  get state(): string {
    return this.#fixture.state;
  }

  get config(): string {
    return this.#fixture.config;
  }

  get pid(): number {
    return this.#fixture.pid;
  }

  logs(): string {
    return this.#fixture.logs();
  }

  stop(): Promise<void> {
    return this.#fixture.stop();
  }

  kill9(): Promise<void> {
    return this.#fixture.kill9();
  }

  /** @param env added to its environment for this run */
  restart(env?: Readonly<Record<string, string>>): Promise<void> {
    return this.#fixture.restart(env);
  }

  /** How its process has ended; undefined while it runs. */
  exitStatus(): string | undefined {
    return this.#fixture.exitStatus();
  }

  /** A container id that no other test uses: shims and runc share directories between daemons. */
  id(name: string): string {
    const id = `${name}-${randomBytes(4).toString("hex")}`;
    this.ids.add(id);
    return id;
  }

  /** Registers a further namespace of this daemon. */
  otherNamespace(name: string): string {
    const namespace = `${this.namespace}-${name}`;
    this.namespaces.add(namespace);
    return namespace;
  }

  /** Arguments in front of every ctr command. */
  flags(namespace: string = this.namespace): string[] {
    return ["--address", this.address, "--namespace", namespace];
  }

  /** Runs ctr and returns its stdout. @throws with command and output unless it exits with 0 */
  async ctr(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const result = await this.tryCtr(args, options);
    if (result.code !== 0) throw new Error(`${describe(result)}\n  daemon log: ${this.logs().slice(-1500)}`);
    return result.stdout;
  }

  /** Runs ctr to its end, whatever its exit code. */
  async tryCtr(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return run("ctr", [...this.flags(), ...args], { ...options, env: { TMPDIR: this.tmp, ...options.env } });
  }

  /** Runs a ctr that must fail, and returns its stderr. */
  async ctrFails(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const result = await this.tryCtr(args, options);
    if (result.code === 0) throw new Error(`should have failed: ${describe(result)}`);
    return result.stderr;
  }

  /** Starts a ctr and leaves it running. */
  spawnCtr(args: readonly string[]): ChildProcess {
    return start("ctr", [...this.flags(), ...args], { env: { TMPDIR: this.tmp } });
  }
}

/** Starts a daemon of the kind under test in a new directory. */
export async function startDaemon(name: string, options: DaemonOptions = {}): Promise<Daemon> {
  const kind = options.kind ?? daemonKind;
  const dir = mkdtempSync(`/tmp/ctrd-${runName()}-${name}-`);
  // Whatever the daemon forgets in its temp directory is found by the leak check.
  const tmp = join(dir, "tmp");
  mkdirSync(tmp);
  const { config: extraConfig, args } = options;
  const fixtureOptions = {
    dir,
    env: { TMPDIR: tmp, ...options.env },
    ...(extraConfig === undefined ? {} : { extraConfig }),
    ...(args === undefined ? {} : { args }),
  };
  try {
    const fixture = await (kind === "containerd" ? startContainerd(fixtureOptions) : startCtrd(fixtureOptions));
    return new Daemon(kind, dir, fixture);
  } catch (error) {
    rmSync(dir, { recursive: true, force: true });
    throw error;
  }
}
