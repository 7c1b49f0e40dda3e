/** The configuration: golden messages, the five commands, containerd's own file, and reload under a running container. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, tempDir, type TempDir } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { run, runOk, until } from "./support/command.ts";
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
    ["a wrong type", 'version = 3\noom_score = "much"\n', ":2:1: oom_score: expected number, received string"],
    ["a wrong word", 'version = 3\n[debug]\nlevel = "loud"\n', ":3:1: debug.level: Invalid option: expected one of "],
    ["a key given twice", 'root = "/a"\nroot = "/b"\n', ":2:1: not TOML: "],
    ["no TOML", "root = \n", ":1:8: not TOML: "],
    ["a layout of the future", "version = 9\n", ":1:1: version: version 9 is not supported, use 2 to 4"],
    [
      "a plugin that is required and not there",
      'version = 3\nrequired_plugins = ["io.containerd.snapshotter.v1.zfs"]\n',
      ":2:21: required_plugins[0]: required plugin ",
    ],
    [
      "a duration that is none",
      'version = 3\n[timeouts]\n"io.containerd.timeout.shim.load" = "soon"\n',
      ":3:1: timeouts.",
    ],
    [
      "a proxy of an unknown type",
      'version = 3\n[proxy_plugins.x]\ntype = "snapshoter"\naddress = "/run/x.sock"\n',
      ":3:1: proxy_plugins.x.type: ",
    ],
  ];
  for (const [name, text, message] of golden) {
    ctrdTest(name, async () => {
      const file = write("wrong.toml", text);
      const checked = await ctrd(["config", "check", file]);
      expect(checked.stderr).toContain(`ctrd: ${file}${message}`);
      expect(checked).toMatchObject({ code: 1, stdout: "" });
      // The daemon says the same before it does anything.
      const started = await ctrd(["--config", file]);
      expect(started.code).toBe(1);
      expect(started.stderr).toContain(`ctrd: ${file}${message}`);
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

  ctrdTest("check names every mistake", async () => {
    const { stderr } = await ctrd(["config", "check", "-"], 'rot = "/x"\n[grpc]\nuidd = 1\n');
    expect(stderr.split("\n").filter((line) => line !== "")).toEqual([
      'ctrd: <stdin>:1:1: rot: unknown key "rot", did you mean "root"?',
      'ctrd: <stdin>:3:1: grpc.uidd: unknown key "uidd", did you mean "uid"?',
    ]);
  });
});

describe("config", () => {
  ctrdTest("default is clean, and so is what dump prints of it", async () => {
    const printed = await ctrd(["config", "default"]);
    expect(await ctrd(["config", "check", "-"], printed.stdout)).toEqual({
      code: 0,
      stdout: "<stdin>: ok\n",
      stderr: "",
    });
    const file = write("default.toml", printed.stdout);
    const dumped = await ctrd(["config", "dump", "--config", file]);
    expect((await ctrd(["config", "check", "-"], dumped.stdout)).code).toBe(0);
  });

  ctrdTest("dump says where every value came from", async () => {
    mkdirSync(join(dir.path, "conf.d"), { recursive: true });
    const more = write("conf.d/more.toml", 'version = 3\n[debug]\nlevel = "warn"\n');
    const file = write("dump.toml", 'version = 2\nimports = ["conf.d/*.toml"]\n[grpc]\naddress = "/run/mine.sock"\n');
    const { stdout } = await ctrd(["config", "dump", "--config", file, "--root", "/srv/ctrd"]);
    expect(stdout).toContain('root = "/srv/ctrd" # command line\n');
    expect(stdout).toContain('state = "/run/ctrd" # default\n');
    expect(stdout).toContain(`level = "warn" # ${more}:3\n`);
    expect(stdout).toContain(`address = "/run/mine.sock" # ${file}:4 (grpc.address)\n`);
    const json = JSON.parse((await ctrd(["config", "dump", "--json", "--config", file])).stdout) as Record<
      string,
      unknown
    >;
    expect(json["debug.level"]).toEqual({ value: "warn", from: `${more}:3` });
  });

  ctrdTest("migrate keeps what counts and what does not", async () => {
    const text = `version = 1
plugin_dir = "/opt/plugins"
[grpc]
address = "/run/x.sock"
tcp_address = ":1234"
[plugins.scheduler]
pause_threshold = 0.3
[plugins.linux]
shim = "containerd-shim"
`;
    const { stdout, code } = await ctrd(["config", "migrate", write("old.toml", text)]);
    expect(code).toBe(0);
    expect(stdout).toContain("version = 4\n");
    expect(stdout).toContain('[plugins."io.containerd.server.v1.grpc"]\naddress = "/run/x.sock"\n');
    expect(stdout).toContain('[plugins."io.containerd.server.v1.grpc-tcp"]\naddress = ":1234"\n');
    expect(stdout).toContain('[plugins."io.containerd.gc.v1.scheduler"]\npause_threshold = 0.3\n');
    expect(stdout).toContain('plugin_dir = "/opt/plugins"\n#   plugins are npm packages\n');
    expect(stdout).toMatch(
      /# \S+:8:\d+: plugins\.linux = \{ shim = "containerd-shim" \}\n# {3}the plugin no longer exists/,
    );
    expect((await ctrd(["config", "check", "-"], stdout)).code).toBe(0);
  });

  ctrdTest("schema is JSON Schema of what is composed", async () => {
    const schema = JSON.parse((await ctrd(["config", "schema"])).stdout) as { $schema: string; properties: object };
    expect(schema.$schema).toBe("https://json-schema.org/draft/2020-12/schema");
    expect(schema.properties).toHaveProperty(["plugins", "properties", "io.containerd.snapshotter.v1.overlayfs"]);
  });

  ctrdTest("Debian containerd's own configuration is accepted, what has no effect is explained", async () => {
    const file = write("containerd.toml", await runOk("containerd", ["config", "default"]));
    const { code, stdout, stderr } = await ctrd(["config", "check", file]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${file}: ok\n` });
    const warnings = stderr.split("\n").filter((line) => line !== "");
    expect(warnings.length).toBeGreaterThan(5);
    for (const line of warnings) expect(line).toMatch(/^ctrd: warning: \S+: .+/);
    expect(stderr).toMatch(
      /containerd\.toml:\d+:\d+: plugin "io\.containerd\.grpc\.v1\.cri" is not part of this daemon/,
    );
    expect(stderr).toMatch(/containerd\.toml:\d+:\d+: no_prometheus has no effect: |monitor/);
  });
});

describe("reload", () => {
  let h: Harness;
  beforeAll(async () => (h = await openHarness("reload")));
  afterAll(() => h?.close());

  ctrdTest("SIGHUP changes what can change, and a running container does not notice", async () => {
    const { daemon, image } = h;
    const id = daemon.id("runs");
    await daemon.ctr(["run", "-d", image, id, "sleep", "1000"]);
    const before = readFileSync(daemon.config, "utf8");
    const port = await freePort();
    const hangUp = (): void => void process.kill(daemon.pid, "SIGHUP");
    try {
      writeFileSync(daemon.config, `${before}\n[debug]\nlevel = "debug"\n[metrics]\naddress = "127.0.0.1:${port}"\n`);
      hangUp();
      await until("the reload", () => daemon.logs().includes("configuration reloaded") || undefined);
      expect((await fetch(`http://127.0.0.1:${port}/v1/metrics`)).status).toBe(200);
      expect(daemon.logs()).toContain('"key":"debug.level","old":"info","new":"debug"');
      writeFileSync(daemon.config, `${before}\n[debug]\nlevle = "info"\n`);
      hangUp();
      await until("the refusal", () => daemon.logs().includes("the old one stays in force") || undefined);
      expect(daemon.logs()).toMatch(/:\d+:1: debug\.levle: unknown key \\"levle\\", did you mean \\"level\\"\?/);
      expect(await daemon.ctr(["tasks", "ls"])).toMatch(new RegExp(`${id} +\\d+ +RUNNING`));
      expect((await daemon.ctr(["tasks", "exec", "--exec-id", "e", id, "echo", "still here"])).trim()).toBe(
        "still here",
      );
    } finally {
      writeFileSync(daemon.config, before);
      await daemon.tryCtr(["tasks", "kill", "-s", "SIGKILL", id]);
      await daemon.tryCtr(["tasks", "delete", id]);
      await daemon.tryCtr(["containers", "rm", id]);
    }
  });
});
