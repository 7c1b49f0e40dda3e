/** The configuration: golden messages, the five commands, containerd's own file, and reload under a running container. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, tempDir, type TempDir } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { exited, run, runOk, start, until } from "./support/command.ts";
import { daemonCommand } from "./support/daemon.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { ctrdTest } from "./support/peers.ts";

let dir: TempDir;
beforeAll(async () => (dir = await tempDir("config-")));
afterAll(() => dir[Symbol.asyncDispose]());

const [node, base] = daemonCommand("ctrd", "");
const program = base.slice(0, base.indexOf("--config"));

interface Said {
  code: number | null;
  stdout: string;
  stderr: string;
}

async function ctrd(args: readonly string[], input?: string): Promise<Said> {
  const options = { cwd: dir.path, ...(input === undefined ? {} : { input }) };
  const { code, stdout, stderr } = await run(node, [...program, ...args], options);
  return { code, stdout, stderr };
}

function write(name: string, text: string): string {
  const path = join(dir.path, name);
  writeFileSync(path, text);
  return path;
}

describe("a mistake is one line with file, place, key and remedy", () => {
  // After the name of the file.
  const golden: [name: string, text: string, message: string][] = [
    [
      "an unknown key",
      'version = 3\n[grpc]\n  adress = "/x"\n',
      ':3:3: grpc.adress: unknown key "adress", did you mean "address"?',
    ],
    [
      "an unknown key of a plugin",
      'version = 3\n[plugins."io.containerd.gc.v1.scheduler"]\npause_treshold = 0.1\n',
      ':3:1: plugins."io.containerd.gc.v1.scheduler".pause_treshold: unknown key "pause_treshold", did you mean "pause_threshold"?',
    ],
    [
      "an unknown key, as an older layout has it",
      "version = 1\n[plugins.overlayfs]\nsync_remov = true\n",
      ':3:1: plugins.overlayfs.sync_remov: unknown key "sync_remov", did you mean "sync_remove"?',
    ],
    ["a wrong type", 'version = 3\noom_score = "much"\n', ":2:1: oom_score: expected number, received string"],
    [
      "a wrong type in a list",
      'plugins."io.containerd.snapshotter.v1.overlayfs".mount_options = [\n  "x",\n  5,\n]\n',
      ':3:3: plugins."io.containerd.snapshotter.v1.overlayfs".mount_options[1]: expected string, received number',
    ],
    [
      "a wrong word",
      'version = 3\n[debug]\nlevel = "loud"\n',
      ':3:1: debug.level: Invalid option: expected one of "trace"|"debug"|"info"|"warn"|"warning"|"error"|"fatal"|"panic"|""',
    ],
    [
      "a key given twice",
      'root = "/a"\nroot = "/b"\n',
      ":2:1: root: defined twice, first on line 1; remove one of the two",
    ],
    [
      "a table given twice",
      '[plugins."io.containerd.gc.v1.scheduler"]\n[debug]\n[plugins."io.containerd.gc.v1.scheduler"]\n',
      ':3:2: plugins."io.containerd.gc.v1.scheduler": defined twice, first on line 1; remove one of the two',
    ],
    ["no TOML", 'root = "/a"\nstate = \n', ":2:9: not TOML: invalid value"],
    ["a layout of the future", "version = 9\n", ":1:1: version: version 9 is not supported, use 2 to 4"],
    [
      "a plugin that is required and not there",
      'version = 3\nrequired_plugins = ["io.containerd.snapshotter.v1.zfs"]\n',
      ':2:21: required_plugins[0]: required plugin "io.containerd.snapshotter.v1.zfs" is not part of this daemon, add its package',
    ],
    [
      "a duration that is none",
      'version = 3\n[timeouts]\n"io.containerd.timeout.shim.load" = "soon"\n',
      ':3:1: timeouts."io.containerd.timeout.shim.load": duration "soon" must be numbers with units ns, us, ms, s, m or h, for example "1h30m"',
    ],
    [
      "a proxy of an unknown type",
      'version = 3\n[proxy_plugins.x]\ntype = "snapshoter"\naddress = "/run/x.sock"\n',
      ':3:1: proxy_plugins.x.type: unknown type "snapshoter", known are: snapshot, content, diff, sandbox, io.containerd.snapshotter.v1, io.containerd.content.v1, io.containerd.differ.v1, io.containerd.sandbox.controller.v1',
    ],
    [
      "a proxy without an absolute address",
      'version = 3\n[proxy_plugins.x]\ntype = "snapshot"\naddress = "x.sock"\n',
      ':4:1: proxy_plugins.x.address: address "x.sock" must be the absolute path of a unix socket, with or without unix://',
    ],
    ["a relative directory", 'state = "run"\n', ':1:1: state: "run" must be an absolute path'],
    [
      "one directory for both",
      'root = "/run/x"\nstate = "/run/x/"\n',
      ":2:1: state: root and state must be different directories, both are /run/x",
    ],
  ];
  for (const [name, text, message] of golden) {
    ctrdTest(name, async () => {
      const file = write("wrong.toml", text);
      const checked = await ctrd(["config", "check", file]);
      expect(checked).toEqual({ code: 1, stdout: "", stderr: `ctrd: ${file}${message}\n` });
      // The daemon says the same before it does anything.
      const started = await ctrd(["--config", file]);
      expect(started).toEqual(checked);
    });
  }

  ctrdTest("a missing file, given or imported", async () => {
    const missing = join(dir.path, "missing.toml");
    expect((await ctrd(["config", "check", missing])).stderr).toBe(`ctrd: read configuration ${missing}: ENOENT\n`);
    const file = write("imports.toml", `version = 3\nimports = ["missing.toml"]\n`);
    expect((await ctrd(["config", "check", file])).stderr).toBe(
      `ctrd: read configuration ${missing}, imported by ${file}: ENOENT\n`,
    );
  });

  ctrdTest("check names every mistake, of every file, from top to bottom", async () => {
    const broken = write("broken.toml", "[grpc\n");
    write("wrong.toml", 'version = 2\n[debug]\nformat = "xml"\n');
    const text = `oom_score = 5000\nimports = ["missing.toml", "broken.toml", "wrong.toml"]\nrot = "/x"\n[grpc]\nuidd = 1\n`;
    const { code, stdout, stderr } = await ctrd(["config", "check", "-"], text);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr.replaceAll(`${dir.path}/`, "").split("\n")).toEqual([
      "ctrd: read configuration missing.toml, imported by <stdin>: ENOENT",
      expect.stringMatching(/^ctrd: broken\.toml:1:6: not TOML: /),
      "ctrd: <stdin>:1:1: oom_score: Too big: expected number to be <=1000",
      'ctrd: <stdin>:3:1: rot: unknown key "rot", did you mean "root"?',
      'ctrd: <stdin>:5:1: grpc.uidd: unknown key "uidd", did you mean "uid"?',
      'ctrd: wrong.toml:3:1: debug.format: Invalid option: expected one of "json"|"text"|""',
      "",
    ]);
    expect((await ctrd(["--config", broken])).stderr).toMatch(/^ctrd: \S+broken\.toml:1:6: not TOML: [^\n]+\n$/);
  });
});

describe("config", () => {
  ctrdTest("default is clean, and so is what dump prints of it", async () => {
    const printed = await ctrd(["config", "default"]);
    const clean = { code: 0, stdout: "<stdin>: ok\n", stderr: "" };
    expect(await ctrd(["config", "check", "-"], printed.stdout)).toEqual(clean);
    const file = write("default.toml", printed.stdout);
    const dumped = await ctrd(["config", "dump", "--config", file]);
    expect(dumped).toMatchObject({ code: 0, stderr: "" });
    expect(await ctrd(["config", "check", "-"], dumped.stdout)).toEqual(clean);
  });

  ctrdTest("dump says where every value came from", async () => {
    mkdirSync(join(dir.path, "conf.d"), { recursive: true });
    const more = write(
      "conf.d/more.toml",
      'version = 3\noom_score = 0\ndisabled_plugins = ["a.b"]\n[debug]\nlevel = "warn"\n[plugins."io.containerd.gc.v1.scheduler"]\npause_threshold = 0.1\n',
    );
    const file = write(
      "dump.toml",
      'version = 2\noom_score = 7\nimports = ["conf.d/*.toml"]\ndisabled_plugins = ["c.d"]\n[grpc]\naddress = "/run/mine.sock"\ngid = 7\n[plugins."io.containerd.gc.v1.scheduler"]\npause_threshold = 0.2\nschedule_delay = "1s"\n',
    );
    const args = ["--config", file, "--root", "/srv/ctrd"];
    const { stdout } = await ctrd(["config", "dump", ...args]);
    for (const line of [
      'root = "/srv/ctrd" # command line',
      'state = "/run/ctrd" # default',
      // A zero of a later file does not count.
      `oom_score = 7 # ${file}:2`,
      `disabled_plugins = ["c.d", "a.b"] # ${file}:4, ${more}:3`,
      `imports = [] # merged: ${file}, ${more}`,
      `level = "warn" # ${more}:5`,
      `address = "/run/mine.sock" # migrated from [grpc] address, ${file}:6`,
      `address = "/run/mine.sock.ttrpc" # as of io.containerd.server.v1.grpc`,
      `gid = 7 # as of io.containerd.server.v1.grpc`,
      `pause_threshold = 0.1 # ${more}:7`,
      `schedule_delay = "1s" # ${file}:10`,
      "mutation_threshold = 100 # default",
    ]) {
      expect(stdout.split("\n")).toContain(line);
    }
    expect((await ctrd(["config", "check", "-"], stdout)).code).toBe(0);
    const json: Record<string, unknown> = JSON.parse((await ctrd(["config", "dump", "--json", ...args])).stdout);
    expect(json["debug.level"]).toEqual({ value: "warn", from: `${more}:5` });
    expect(json['plugins."io.containerd.gc.v1.scheduler".mutation_threshold']).toEqual({ value: 100, from: "default" });
  });

  ctrdTest("migrate keeps comments, what counts and what does not", async () => {
    const text = `# Ours.

plugin_dir = "/opt/plugins"
# Where clients connect.
[grpc]
  address = "/run/x.sock" # the one
  tcp_address = ":1234"
[plugins.scheduler]
pause_threshold = 3e-1
[plugins.linux]
shim = "containerd-shim"
[plugins.cri.cni]
bin_dir = "/opt/cni/bin"
# The end.
`;
    const { stdout, code } = await ctrd(["config", "migrate", write("old.toml", text)]);
    expect(code).toBe(0);
    expect(stdout).toBe(`# Ours.

version = 4

# Not in the newest layout: plugins are npm packages, the dependencies of an app folder (ctrd --app DIR)
# plugin_dir = "/opt/plugins"
# Where clients connect.
[plugins."io.containerd.server.v1.grpc"]
address = "/run/x.sock" # the one

[plugins."io.containerd.server.v1.grpc-tcp"]
address = ":1234"

[plugins."io.containerd.gc.v1.scheduler"]
pause_threshold = 3e-1

# Not in the newest layout: the runtime io.containerd.runtime.v1.linux ended with containerd 1.x; use io.containerd.runc.v2
# plugins.linux.shim = "containerd-shim"

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/opt/cni/bin"]
# The end.
`);
    expect((await ctrd(["config", "check", "-"], stdout)).code).toBe(0);
    expect((await ctrd(["config", "migrate", "-"], stdout)).stdout).toBe(stdout);
  });

  ctrdTest("schema is JSON Schema of what is composed", async () => {
    const schema = JSON.parse((await ctrd(["config", "schema"])).stdout) as { $schema: string; properties: object };
    expect(schema.$schema).toBe("https://json-schema.org/draft/2020-12/schema");
    expect(schema.properties).toHaveProperty(["plugins", "properties", "io.containerd.snapshotter.v1.overlayfs"]);
  });

  ctrdTest("Debian containerd's own configuration is accepted, what has no effect is explained", async () => {
    for (const command of ["default", "dump"]) {
      const file = write("containerd.toml", await runOk("containerd", ["config", command]));
      const { code, stdout, stderr } = await ctrd(["config", "check", file]);
      // A dump names the file of the host as an import.
      expect(code).toBe(0);
      expect(stdout).toMatch(/^\S+containerd\.toml(, \/etc\/\S+)?: ok\n$/);
      const explained = stderr
        .trimEnd()
        .split("\n")
        .filter((line) => line.includes(file))
        .map(
          (line) => /^ctrd: warning: \S+containerd\.toml:\d+:\d+: (\S+): (.+; .+|has no effect: .+)$/.exec(line)?.[1],
        );
      expect(explained).toEqual([
        ...["internal.v1.opt", "runtime.v1.linux"].map(pluginKey),
        ...["aufs", "btrfs", "devmapper", "zfs"].map((id) => pluginKey(`snapshotter.v1.${id}`)),
        'timeouts."io.containerd.timeout.bolt.open"',
      ]);
      const migrated = await ctrd(["config", "migrate", file]);
      const checked = await ctrd(["config", "check", "-"], migrated.stdout);
      expect(checked).toMatchObject({ code: 0, stdout: stdout.replace(file, "<stdin>") });
    }
  });
});

function pluginKey(name: string): string {
  return `plugins."io.containerd.${name}"`;
}

describe("reload", () => {
  let h: Harness;
  beforeAll(async () => (h = await openHarness("reload")));
  afterAll(() => h?.close());

  const hangUp = (): void => void process.kill(h.daemon.pid, "SIGHUP");
  const logged = (what: string): Promise<true> =>
    until(`the log says ${what}`, () => h.daemon.logs().includes(what) || undefined);

  ctrdTest("SIGHUP changes what can change, and a running container does not notice", async () => {
    const { daemon, image } = h;
    const before = readFileSync(daemon.config, "utf8");
    const port = await freePort();
    const count = "i=0; while [ $i -lt 60 ]; do echo $i; i=$((i+1)); sleep 0.1; done";
    const running = run("ctr", [...daemon.flags(), "run", "--rm", image, daemon.id("counts"), "sh", "-c", count]);
    const metrics = "io.containerd.server.v1.metrics";
    const gc = "io.containerd.gc.v1.scheduler";
    const inForce = async (plugin: string): Promise<string> =>
      (await ctrd(["plugins", "inspect", plugin, "--address", daemon.address])).stdout;
    try {
      await until("the container runs", async () => (await daemon.ctr(["tasks", "ls"])).includes("RUNNING"));
      writeFileSync(
        daemon.config,
        `${before.replace("version = 3", "version = 3\noom_score = 3")}
[debug]
level = "debug"
[plugins."${metrics}"]
address = "127.0.0.1:${port}"
[plugins."${gc}"]
startup_delay = "1s"
deletion_threshold = 5
`,
      );
      hangUp();
      await logged('"applied":3,"needRestart":2,"errors":0,"msg":"configuration reloaded"');
      expect((await fetch(`http://127.0.0.1:${port}/v1/metrics`)).status).toBe(200);
      for (const line of [
        '"key":"debug.level","old":"info","new":"debug","msg":"configuration key changed"',
        '"key":"oom_score","old":0,"new":3,"msg":"configuration key needs a restart to change"',
        `"key":"plugins.\\"${metrics}\\".address","old":"","new":"127.0.0.1:${port}","msg":"configuration key changed"`,
        `"key":"plugins.\\"${gc}\\".deletion_threshold","old":0,"new":5,"msg":"configuration key changed"`,
        `"key":"plugins.\\"${gc}\\".startup_delay","old":"100ms","new":"1s","msg":"configuration key needs a restart`,
      ]) {
        expect(daemon.logs()).toContain(line);
      }
      expect(await inForce(metrics)).toContain(`address = "127.0.0.1:${port}"`);
      expect(await inForce(gc)).toMatch(/deletion_threshold = 5\n[^]*startup_delay = "100ms"/);
      // A broken file changes nothing.
      writeFileSync(daemon.config, `${before}\n[debug]\nlevel = "trace"\nlevle = "info"\n`);
      hangUp();
      await logged("the old one stays in force");
      expect(daemon.logs()).toMatch(
        /config\.toml:\d+:1: debug\.levle: unknown key \\"levle\\", did you mean \\"level\\"\?/,
      );
      expect((await fetch(`http://127.0.0.1:${port}/v1/metrics`)).status).toBe(200);
      expect(await inForce(gc)).toContain("deletion_threshold = 5\n");
      // And back again.
      writeFileSync(daemon.config, before);
      hangUp();
      await logged('"applied":3,"needRestart":0,"errors":0,"msg":"configuration reloaded"');
      await expect(fetch(`http://127.0.0.1:${port}/v1/metrics`)).rejects.toThrow();
      const { code, stdout } = await running;
      expect(code).toBe(0);
      expect(stdout).toBe(Array.from({ length: 60 }, (_, i) => `${i}\n`).join(""));
    } finally {
      writeFileSync(daemon.config, before);
      await running;
    }
  });

  ctrdTest("SIGHUP never ends the daemon, also while it starts and stops", async () => {
    const place = ["--config", "/dev/null", "--root", join(dir.path, "root"), "--state", join(dir.path, "state")];
    const child = start(node, [...program, ...place]);
    let log = "";
    child.stderr?.on("data", (chunk: Buffer) => (log += chunk.toString()));
    const ended = exited(child);
    // Node itself must be up before it can catch anything.
    await until("it has begun", () => existsSync(`/proc/${child.pid}/task`) && catchesHangUp(child.pid ?? 0));
    const timer = setInterval(() => child.kill("SIGHUP"), 3);
    await until("it is ready", () => log.includes("daemon ready"), 20_000);
    await until("it has reloaded", () => log.includes("configuration reloaded"));
    child.kill("SIGTERM");
    const code = await ended;
    clearInterval(timer);
    expect({ code, signal: child.signalCode }).toEqual({ code: 0, signal: null });
    expect(log).toContain("daemon stopped");
    expect(log).not.toContain('"level":"error"');
  });
});

/** Whether a process has a handler for SIGHUP. */
function catchesHangUp(pid: number): boolean {
  const caught = /^SigCgt:\t([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return caught !== undefined && (BigInt(`0x${caught}`) & 1n) === 1n;
}
