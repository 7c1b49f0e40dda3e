import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LogFields, Logger } from "@ctrd/core/log";
import type { AnyRegistration, InitContext } from "@ctrd/core/plugin";
import { pluginRef, pluginType, SkipPlugin } from "@ctrd/core/plugin";
import type { DaemonServer } from "@ctrd/core/services";
import { ServerPlugin } from "@ctrd/core/services";
import { failedPrecondition } from "@ctrd/core/errors";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { composeDaemon, startDaemon } from "./daemon.ts";
import type { Daemon } from "./daemon.ts";
import { lockFileName } from "./directory-lock.ts";

const Thing = pluginType<string>("test.thing.v1");

let directory: string;
let config: Record<string, unknown>;
let journal: string[];
const running: Daemon[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-daemon-"));
  config = { root: join(directory, "root"), state: join(directory, "state") };
  journal = [];
});
afterEach(async () => {
  for (const daemon of running.splice(0)) await daemon.stop();
  await rm(directory, { recursive: true, force: true });
});

function thing(id: string, initFn: (ic: InitContext<unknown>) => unknown = () => id): AnyRegistration {
  return {
    type: Thing,
    id,
    initFn(ic) {
      ic.onClose(() => void journal.push(`close ${id}`));
      journal.push(`init ${id}`);
      return initFn(ic);
    },
  };
}

function server(id: string, start: () => Promise<void> = async () => {}): AnyRegistration {
  return {
    type: ServerPlugin,
    id,
    requires: [Thing],
    initFn(): DaemonServer {
      return {
        address: `/fake/${id}`,
        async start() {
          await start();
          journal.push(`serve ${id}`);
        },
        async stop(graceMs) {
          journal.push(`stop ${id} ${graceMs}`);
        },
      };
    },
  };
}

async function run(plugins: AnyRegistration[], more: Record<string, unknown> = {}, log?: Logger): Promise<Daemon> {
  const daemon = await composeDaemon({
    plugins,
    config: { ...config, ...more },
    ...(log === undefined ? {} : { log }),
  });
  running.push(daemon);
  await daemon.start();
  return daemon;
}

/** A logger that keeps lines as `level message fields`. */
function recorder(lines: string[]): Logger {
  const at = (level: string) => (fields: LogFields, message: string) =>
    void lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  const log: Logger = {
    trace: at("trace"),
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: () => log,
  };
  return log;
}

const modeOf = async (path: string): Promise<string> => ((await stat(path)).mode & 0o7777).toString(8);

describe("daemon", () => {
  it("starts servers after all plugins and stops in reverse order", async () => {
    const daemon = await run([server("x"), thing("a"), thing("b")]);
    expect(daemon.getAll(Thing)).toEqual(["a", "b"]);
    expect(daemon.find(pluginRef<string>(Thing, "b"))).toBe("b");
    await Promise.all([daemon.stop(), daemon.stop()]);
    expect(journal).toEqual(["init a", "init b", "serve x", "stop x 5000", "close b", "close a"]);
  });

  it("aborts the plugins' signal when it stops", async () => {
    let signal: AbortSignal | undefined;
    const daemon = await run([
      thing("a", (ic) => {
        signal = ic.signal;
        return "a";
      }),
    ]);
    expect(signal?.aborted).toBe(false);
    await daemon.stop();
    expect(signal?.aborted).toBe(true);
  });

  it("forces the modes of its directories", async () => {
    for (const name of ["root", "state", "temp"]) {
      await mkdir(join(directory, name));
      await chmod(join(directory, name), 0o777);
    }
    const before = process.env["TMPDIR"];
    await run([], { temp: join(directory, "temp") });
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
    expect(await modeOf(join(directory, "root"))).toBe("700");
    expect(await modeOf(join(directory, "state"))).toBe("711");
    expect(await modeOf(join(directory, "temp"))).toBe("700");
  });

  it("tells plugins about itself", async () => {
    let info: InitContext["daemon"] | undefined;
    const grab = thing("a", (ic) => {
      info = ic.daemon;
      return "a";
    });
    await run([grab], {
      debug: { level: "trace" },
      plugins: { "io.containerd.server.v1.grpc": { address: "/x/y.sock" } },
    });
    expect(info).toMatchObject({ address: "/x/y.sock", ttrpcAddress: "/x/y.sock.ttrpc", debug: true });
    expect(info?.timeouts.get("io.containerd.timeout.shim.load")).toBe(5000);
    const child = spawn(info?.binary ?? "", ["--version"], { stdio: ["ignore", "pipe", "inherit"] });
    const output = (await child.stdout.toArray()).join("");
    expect(output).toMatch(/^ctrd \d+\.\d+\.\d+/);
  });

  it("lets one daemon at a time have a root, naming the pid of the other", async () => {
    const first = await run([thing("a")]);
    await expect(startDaemon({ plugins: [], config })).rejects.toThrow(
      `root directory ${directory}/root is in use by the ctrd with pid ${process.pid}; stop it, or set another root`,
    );
    const elsewhere = { ...config, root: join(directory, "root2") };
    await expect(startDaemon({ plugins: [], config: elsewhere })).rejects.toThrow("state directory");
    expect(await readFile(join(directory, "root", lockFileName), "utf8")).toBe(`${process.pid}\n`);
    await first.stop();
    await (await run([])).stop();
  });

  it("refuses the root of a containerd", async () => {
    const metadata = join(directory, "root", "io.containerd.metadata.v1.bolt");
    await mkdir(metadata, { recursive: true });
    const page = Buffer.alloc(4096);
    page.writeUInt32LE(0xed0cdaed, 16);
    await writeFile(join(metadata, "meta.db"), page);
    await expect(run([thing("a")])).rejects.toThrow("belongs to containerd");
    expect(journal).toEqual([]);
    await writeFile(join(metadata, "meta.db"), "something else");
    await run([thing("a")]);
  });

  it("refuses directories of the system and places where none can be made", async () => {
    await expect(run([], { root: "/" })).rejects.toThrow("root directory / is a directory of the system");
    await expect(run([], { state: "/tmp" })).rejects.toThrow("state directory /tmp is a directory of the system");
    await writeFile(join(directory, "file"), "");
    await expect(run([], { root: join(directory, "file", "x") })).rejects.toThrow("file/x: ENOTDIR; set root to");
    await expect(run([], { root: "/proc/ctrd" })).rejects.toThrow("make root directory /proc/ctrd: ENOENT");
  });

  it("goes on without a plugin that fails, unless it is required", async () => {
    const broken = thing("broken", () => {
      throw new Error("no disk");
    });
    const daemon = await run([broken, thing("a")]);
    expect(daemon.plugins.map((plugin) => plugin.state)).toEqual(["failed", "ok"]);
    await daemon.stop();
    const required = run([thing("a"), broken], { required_plugins: ["test.thing.v1.broken"] });
    await expect(required).rejects.toThrow("required plugin test.thing.v1.broken failed: no disk");
    expect(journal.slice(-3)).toEqual(["init broken", "close broken", "close a"]);
  });

  it("does not start when a required plugin declines or is disabled", async () => {
    const shy = thing("shy", () => {
      throw new SkipPlugin("no kernel module", "load it");
    });
    const required = { required_plugins: ["test.thing.v1.shy"] };
    await expect(run([shy], required)).rejects.toThrow("test.thing.v1.shy skipped: no kernel module; load it");
    const disabled = { ...required, disabled_plugins: ["test.thing.v1.shy"] };
    await expect(run([shy], disabled)).rejects.toThrow(
      "disabled: disabled by configuration; remove it from disabled_plugins",
    );
  });

  it("does not start when a server plugin fails or cannot listen, and undoes what it did", async () => {
    const bad = thing("a", () => {
      throw new Error("no");
    });
    await expect(run([bad, server("x")])).rejects.toThrow("io.containerd.server.v1.x failed: ");
    journal = [];
    const busy = server("busy", () => Promise.reject(failedPrecondition("address /a is in use")));
    await expect(run([thing("a"), server("x"), busy])).rejects.toThrow("address /a is in use");
    expect(journal).toEqual(["init a", "serve x", "stop x 5000", "close a"]);
    journal = [];
    await run([thing("a")]);
  });

  it("refuses rings and duplicates", async () => {
    await expect(run([thing("a"), thing("a")])).rejects.toThrow("plugin test.thing.v1.a is registered twice");
  });

  it("logs what it ignores in the configuration", async () => {
    const lines: string[] = [];
    await run([], { plugins: { "io.containerd.grpc.v1.cri": { x: 1 } }, cgroup: { path: "/x" } }, recorder(lines));
    const warnings = lines.filter((line) => line.startsWith("warn"));
    expect(warnings.join("\n")).toContain("cri");
    expect(warnings.join("\n")).toContain("cgroup.path: has no effect");
  });

  it("sets oom_score", async () => {
    const before = await readFile("/proc/self/oom_score_adj", "utf8");
    const target = Number(before) + 1;
    await run([], { oom_score: target });
    expect(await readFile("/proc/self/oom_score_adj", "utf8")).toBe(`${target}\n`);
    await writeFile("/proc/self/oom_score_adj", before.trim());
  });

  it("tells the service manager when it is ready, reloads and stops", async () => {
    const path = join(directory, "notify.sock");
    const received: string[] = [];
    const listener = spawn("python3", ["-c", notifyListener, path], { stdio: ["ignore", "pipe", "inherit"] });
    listener.stdout.on("data", (chunk: Buffer) => received.push(chunk.toString()));
    await once(listener.stdout, "data");
    process.env["NOTIFY_SOCKET"] = path;
    try {
      const daemon = await run([]);
      await daemon.reload(config);
      // The manager waits for the end of a reload that fails, too.
      await expect(daemon.reload({ ...config, rot: "/" })).rejects.toThrow('did you mean "root"?');
      await daemon.stop();
    } finally {
      delete process.env["NOTIFY_SOCKET"];
    }
    await once(listener, "exit");
    const reload = "RELOADING=1\nMONOTONIC_USEC=<time>\nREADY=1\n";
    expect(received.join("").replaceAll(/USEC=\d+/g, "USEC=<time>")).toBe(
      `bound\nREADY=1\n${reload}${reload}STOPPING=1\n`,
    );
  });
});

/** Node has no unix datagram sockets. */
const notifyListener = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("bound", flush=True)
for _ in range(6): print(s.recv(100).decode(), flush=True)
`;
