/**
 * A daemon's surroundings for tests of the runtime with real shims: event server, rootfs, specs, FIFOs.
 */
import { execFileSync } from "node:child_process";
import { closeSync, constants, copyFileSync, mkdirSync, openSync, symlinkSync, unlinkSync, writeSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { TaskDelete, TaskExit, TaskStart } from "@ctrd/api/events/task";
import { EventsDefinition } from "@ctrd/api/services/ttrpc/events/v1/events";
import { Options } from "@ctrd/api/types/runc/options/oci";
import type { CallContext } from "@ctrd/core/context";
import { createContext } from "@ctrd/core/context";
import type { Envelope, EventPublisher } from "@ctrd/core/events";
import type { LogFields, Logger } from "@ctrd/core/log";
import { now } from "@ctrd/core/records";
import type { Any, Mount } from "@ctrd/core/records";
import type { CreateTaskOptions, TaskStdio } from "@ctrd/core/tasks";
import { jsonAny, processTypeUrl, protoAny, specTypeUrl } from "@ctrd/core/typeurl";
import { mkfifo, peerCredentials } from "@ctrd/sys";
import { TtrpcServer } from "@ctrd/ttrpc";
import { createShimManager } from "../src/manager.ts";
import type { ShimManagerOptions } from "../src/manager.ts";
import { openRuntime } from "../src/runtime.ts";
import type { ShimRuntime } from "../src/runtime.ts";

export const runcV2 = "io.containerd.runc.v2";

export interface SpecOptions {
  args: string[];
  terminal?: boolean;
  annotations?: Record<string, string>;
}

/** FIFOs of a process, and what came out of it. */
export interface TestIo {
  stdio: TaskStdio;
  stdin: { write(text: string): void; end(): void } | undefined;
  output(): string;
  close(): void;
}

export class Harness {
  readonly dir: string;
  readonly namespace: string;
  readonly ctx: CallContext;
  readonly events: Envelope[] = [];
  readonly logLines: string[] = [];
  /** Names of the sockets that the test's shims choose. */
  readonly sockets: Set<string> = new Set();
  readonly #server: TtrpcServer = new TtrpcServer({ peerCredentials });
  #ios = 0;

  private constructor(dir: string) {
    this.dir = dir;
    this.namespace = `rt-${dir.slice(-6).toLowerCase()}`;
    this.ctx = createContext({ namespace: this.namespace });
  }

  static async open(): Promise<Harness> {
    const harness = new Harness(await mkdtemp(join(tmpdir(), "ctrd-rt-")));
    makeRootfs(harness.rootfsDir);
    harness.#server.register(EventsDefinition, {
      forward: async (_call, { envelope }) => {
        if (envelope !== undefined) harness.events.push(envelope);
        return {};
      },
    });
    await harness.#server.listen(harness.ttrpcAddress);
    return harness;
  }

  get rootfsDir(): string {
    return join(this.dir, "image");
  }
  get grpcAddress(): string {
    return join(this.dir, "d.sock");
  }
  get ttrpcAddress(): string {
    return join(this.dir, "d.sock.ttrpc");
  }
  get stateDir(): string {
    return join(this.dir, "state");
  }

  async close(): Promise<void> {
    this.#server.close();
    await rm(this.dir, { recursive: true });
  }

  /** A runtime over the harness's directories; a second one is what a restarted daemon has. */
  runtime(options: Partial<ShimManagerOptions> = {}): Promise<ShimRuntime> {
    const publisher: EventPublisher = {
      publish: async (ctx, topic, event) => {
        this.events.push({ timestamp: now(), namespace: ctx.namespace, topic, event });
      },
    };
    const manager = createShimManager({
      settings: {
        grpcAddress: this.grpcAddress,
        ttrpcAddress: this.ttrpcAddress,
        daemonBinary: "/bin/true",
        daemonVersion: "0.1.0",
        debug: false,
        env: ["CTRD_TEST=yes"],
        socketDir: "",
      },
      events: publisher,
      log: this.#logger(),
      ...options,
    });
    return openRuntime(manager, { root: join(this.dir, "root"), state: this.stateDir });
  }

  #logger(): Logger {
    const method = (level: string) => (fields: LogFields, message: string) => {
      this.logLines.push(`${level} ${message} ${JSON.stringify(fields)}`);
    };
    const logger: Logger = {
      trace: method("trace"),
      debug: method("debug"),
      info: method("info"),
      warn: method("warn"),
      error: method("error"),
      child: () => logger,
    };
    return logger;
  }

  get runcOptions(): Any {
    const options = Options.create({ root: join(this.dir, "runc") });
    return protoAny("containerd.runc.v1.Options", Options.encode(options).finish());
  }

  get rootfs(): Mount[] {
    return [{ type: "bind", source: this.rootfsDir, target: "", options: ["rbind", "rw"] }];
  }

  createOptions(id: string, io: TestIo, spec: SpecOptions): CreateTaskOptions {
    return {
      spec: jsonAny(specTypeUrl, makeSpec(`/${this.namespace}-${id}`, spec)),
      rootfs: this.rootfs,
      io: { ...io.stdio, terminal: spec.terminal ?? false },
      runtime: runcV2,
      runtimeOptions: this.runcOptions,
    };
  }

  execSpec(args: string[], terminal = false): Any {
    return jsonAny(processTypeUrl, makeProcess({ args, terminal }));
  }

  /** Makes FIFOs. Both ends are held open, as containerd's clients do. */
  io(withStdin = false): TestIo {
    const base = join(this.dir, `io-${++this.#ios}`);
    const [stdout, stderr, stdin] = [`${base}-out`, `${base}-err`, withStdin ? `${base}-in` : ""];
    let text = "";
    const sockets: Socket[] = [];
    for (const path of [stdout, stderr]) {
      mkfifo(path, 0o600);
      const socket = openFifo(path);
      socket.setEncoding("utf8");
      socket.on("data", (chunk: string) => (text += chunk));
      sockets.push(socket);
    }
    let input: number | undefined;
    if (withStdin) {
      mkfifo(stdin, 0o600);
      input = openSync(stdin, constants.O_RDWR | constants.O_NONBLOCK);
    }
    const endInput = (): void => {
      if (input !== undefined) closeSync(input);
      input = undefined;
    };
    return {
      stdio: { stdin, stdout, stderr, terminal: false },
      stdin: withStdin ? { write: (line) => writeSync(input ?? -1, line), end: endInput } : undefined,
      output: () => text,
      close: () => {
        endInput();
        for (const socket of sockets) socket.destroy();
        for (const path of [stdout, stderr, stdin]) if (path !== "") unlinkSync(path);
      },
    };
  }

  topics(id: string): string[] {
    return this.events.filter((event) => containerOf(event) === id).map((event) => event.topic);
  }

  exits(id: string): TaskExit[] {
    const exits = this.events.filter((event) => event.topic === "/tasks/exit" && containerOf(event) === id);
    return exits.map((event) => TaskExit.decode(event.event?.value ?? new Uint8Array(0)));
  }

  deletes(id: string): TaskDelete[] {
    const deletes = this.events.filter((event) => event.topic === "/tasks/delete" && containerOf(event) === id);
    return deletes.map((event) => TaskDelete.decode(event.event?.value ?? new Uint8Array(0)));
  }
}

/** `container_id` is field 1 of every task event. */
function containerOf(envelope: Envelope): string {
  return TaskStart.decode(envelope.event?.value ?? new Uint8Array(0)).containerId;
}

function openFifo(path: string): Socket {
  return new Socket({ fd: openSync(path, constants.O_RDWR | constants.O_NONBLOCK), readable: true, writable: false });
}

function makeRootfs(dir: string): void {
  for (const name of ["bin", "dev", "etc", "proc", "sys", "tmp"]) mkdirSync(join(dir, name), { recursive: true });
  copyFileSync("/bin/busybox", join(dir, "bin/busybox"));
  for (const applet of ["sh", "sleep", "cat", "echo", "true", "stty", "kill", "tr"]) {
    symlinkSync("busybox", join(dir, "bin", applet));
  }
}

function makeProcess(options: SpecOptions): object {
  const capabilities = ["CAP_KILL", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"];
  return {
    terminal: options.terminal ?? false,
    user: { uid: 0, gid: 0 },
    args: options.args,
    env: ["PATH=/bin", "TERM=xterm"],
    cwd: "/",
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
  };
}

function makeSpec(cgroupsPath: string, options: SpecOptions): object {
  return {
    ociVersion: "1.0.2",
    process: makeProcess(options),
    root: { path: "rootfs" },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
      { destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666"] },
    ],
    annotations: options.annotations ?? {},
    linux: {
      cgroupsPath,
      resources: {},
      namespaces: ["pid", "ipc", "uts", "mount", "network"].map((type) => ({ type })),
    },
  };
}

/** Waits until `check` is true. */
export async function until(what: string, check: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await sleep(10);
  }
}

/** Pid of the shim process that serves a task, found by its command line. */
export function shimPid(namespace: string, id: string): number {
  const lines = execFileSync("ps", ["-eo", "pid,args"], { encoding: "utf8" }).split("\n");
  const line = lines.find((text) => text.includes(`-namespace ${namespace} `) && text.includes(`-id ${id} `));
  if (line === undefined) throw new Error(`no shim of ${id}`);
  return Number.parseInt(line.trim(), 10);
}

export async function isAlive(pid: number): Promise<boolean> {
  try {
    return !/^State:\s+[ZX]/m.test(await readFile(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
