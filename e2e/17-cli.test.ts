/** Issue 4, Shows 5: the command line of `@ctrd/cli`, with pipes and in a real terminal. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { layeredImage, pushImage } from "@ctrd/testkit/fixtures";
import type { CommandOptions, CommandResult } from "./support/command.ts";
import { describe, exited, run, runOk, start, until } from "./support/command.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { ctrdTest, peerTest, repository } from "./support/peers.ts";
import { openTerminal } from "./support/terminal.ts";

let h: Harness;
beforeAll(async () => {
  h = await openHarness("cli", { pull: false });
  writeFileSync(h.path("ctrd"), `#!/bin/sh\nexec ${[node, ...flags, main].join(" ")} "$@"\n`, { mode: 0o755 });
});
afterAll(() => h?.close());

const node = `${repository}/node_modules/.bin/node`;
// The build starts several times faster than the sources.
const isBuilt = process.env["CTRD_TEST_FROM"] === "dist";
const mainOf = (name: string): string => `${repository}/packages/${name}/${isBuilt ? "dist/main.js" : "src/main.ts"}`;
const main = mainOf("cli");
const flags = isBuilt ? [] : ["--conditions=ctrd-source", "--disable-warning=ExperimentalWarning"];

const env = (): Record<string, string> => ({
  CTRD_ADDRESS: h.daemon.address,
  CTRD_NAMESPACE: h.daemon.namespace,
  CTRD_CLI_ROOT: h.path("cli"),
  DOCKER_CONFIG: h.path("docker"),
  TMPDIR: h.daemon.tmp,
});

/** Runs the command, whatever its exit code. */
function attempt(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return run(node, [...flags, main, ...args], { ...options, env: { ...env(), ...options.env } });
}

/** Runs the command and returns its output. */
async function ctrd(...args: string[]): Promise<string> {
  const result = await attempt(args);
  if (result.code !== 0) throw new Error(describe(result));
  return result.stdout;
}

/** Runs a container in the background and lets the leak check know. */
async function background(...args: string[]): Promise<string> {
  const id = (await ctrd("run", "-d", ...args)).trim();
  h.daemon.ids.add(id);
  return id;
}

test("5: pull: a line for each step in a pipe, JSON lines, the name alone", async () => {
  const lines = await ctrd("pull", h.image);
  expect(lines).toContain(`${h.image}: resolving\n`);
  expect(lines).toMatch(new RegExp(`layer [0-9a-f]{12}: complete from ${h.registry.host}\n`));
  expect(lines.trimEnd().split("\n").at(-1)).toBe(`${h.image}: ${h.busybox.root.descriptor.digest}`);
  const json = (await ctrd("pull", "--json", h.image)).trimEnd().split("\n");
  expect(json.map((line) => JSON.parse(line) as unknown)).toContainEqual(
    expect.objectContaining({ stage: "exists", digest: h.busybox.root.descriptor.digest }),
  );
  expect(await ctrd("pull", "-q", h.image)).toBe(`${h.image}\n`);
});

test("5: images, tag, push, save, load, rmi", async () => {
  const short = h.busybox.root.descriptor.digest.slice(7, 19);
  expect(await ctrd("images")).toMatch(new RegExp(`^REPOSITORY +TAG +ID .*\n.*e2e/busybox +1 +${short} +linux/`));
  expect(await ctrd("images", "-q")).toBe(`${short}\n`);
  expect(await ctrd("images", "--format", "{{.Name}} {{.Tag}}")).toBe(`${h.image} 1\n`);
  expect(JSON.parse(await ctrd("images", "--json"))).toMatchObject({ Name: h.image, Tag: "1" });
  const odd = await attempt(["images", "--format", "{{.Nmae}}"]);
  expect(odd).toMatchObject({ code: 1, stderr: expect.stringContaining(".Name") });
  await ctrd("tag", short, "renamed:2");
  const target = `${h.registry.host}/cli/pushed:3`;
  expect(await ctrd("push", "renamed:2", target)).toContain(`${target}: ${h.busybox.root.descriptor.digest}`);
  expect(
    await runOk("skopeo", ["inspect", "--tls-verify=false", "--format", "{{.Digest}}", `docker://${target}`]),
  ).toBe(`${h.busybox.root.descriptor.digest}\n`);
  await ctrd("save", "-o", h.path("saved.tar"), "renamed:2");
  expect(await ctrd("rmi", "renamed:2")).toBe("Untagged: renamed:2\n");
  expect(await ctrd("load", "-i", h.path("saved.tar"))).toBe("Loaded image: renamed:2\n");
  await ctrd("rmi", "renamed:2");
  const missing = await attempt(["rmi", "renamed:2"]);
  expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining("ctrd images") });
});

test("5: run: output, input, exit codes, limits", async () => {
  expect(await ctrd("run", "--rm", h.image, "echo", "hello")).toBe("hello\n");
  expect(await attempt(["run", "--rm", "-i", h.image, "cat"], { input: "in and out\n" })).toMatchObject({
    code: 0,
    stdout: "in and out\n",
  });
  const both = await attempt(["run", "--rm", h.image, "sh", "-c", "echo to stderr >&2; exit 42"]);
  expect(both).toMatchObject({ code: 42, stdout: "", stderr: "to stderr\n" });
  expect((await attempt(["run", "--rm", h.image, "no-such-program"])).code).toBe(127);
  expect((await attempt(["run", "--rm", h.image, "/etc/passwd"])).code).toBe(126);
  expect((await attempt(["run", "--rm", "--memory", "much", h.image, "true"])).code).toBe(125);
  const published = await attempt(["run", "--rm", "--net", "none", "-p", "80:80", h.image, "true"]);
  expect(published).toMatchObject({ code: 125, stderr: expect.stringContaining("-p does not go with --net none") });
  mkdirSync(h.path("shared"));
  writeFileSync(h.path("variables"), "FROM_FILE=yes\n");
  const script =
    'id -u; pwd; hostname; echo "$A $FROM_FILE"; echo written > /mnt/file; touch /denied 2>/dev/null || echo no';
  const options = ["-u", "1000", "-w", "/tmp", "--hostname", "box", "-e", "A=b", "--env-file", h.path("variables")];
  const volume = ["-v", `${h.path("shared")}:/mnt`, "--read-only", "--cap-add", "NET_ADMIN", "--memory", "64m"];
  await runOk("chmod", ["777", h.path("shared")]);
  expect(await ctrd("run", "--rm", ...options, ...volume, "--cpus", "0.5", h.image, "sh", "-c", script)).toBe(
    "1000\n/tmp\nbox\nb yes\nno\n",
  );
  expect(readFileSync(h.path("shared/file"), "utf8")).toBe("written\n");
  expect(await ctrd("ps", "-aq")).toBe("");
});

test("5: a container's life: ps, exec, logs, pause, rename, stop, start, kill, wait, rm", async () => {
  const id = await background("--name", "life", h.image, "sh", "-c", "echo begun; exec sleep 1000");
  expect(await ctrd("ps", "--format", "{{.ID}} {{.Names}} {{.State}}")).toBe(`${id.slice(0, 12)} life running\n`);
  expect((await attempt(["run", "-d", "--name", "life", h.image, "true"])).stderr).toContain('name "life" is taken');
  expect(await ctrd("exec", "-e", "X=y", id.slice(0, 6), "sh", "-c", "echo $X")).toBe("y\n");
  expect((await attempt(["exec", "life", "sh", "-c", "exit 3"])).code).toBe(3);
  expect((await attempt(["exec", "life", "no-such-program"])).code).toBe(127);
  expect(await ctrd("top", "life")).toMatch(/sleep 1000/);
  expect(await ctrd("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "life")).toBe("life 1\n");
  await ctrd("pause", "life");
  expect(await ctrd("ps")).toContain("(paused)");
  await ctrd("unpause", "life");
  await ctrd("rename", "life", "after");
  expect(JSON.parse(await ctrd("inspect", "after"))).toMatchObject([
    { Id: id, Name: "after", State: { Running: true } },
  ]);
  expect(await attempt(["rm", "after"])).toMatchObject({ code: 1, stderr: expect.stringContaining("ctrd stop after") });
  await ctrd("stop", "-t", "0", "after");
  expect(await ctrd("ps", "-a", "--format", "{{.Status}}")).toMatch(/^Exited \(137\)/);
  await ctrd("start", "after");
  await ctrd("kill", "after");
  expect(await ctrd("wait", "after")).toBe("137\n");
  expect(await ctrd("logs", "after")).toBe("begun\nbegun\n");
  await ctrd("rm", "after");
  expect(existsSync(h.path("cli"))).toBe(true);
  expect(await ctrd("ps", "-aq")).toBe("");
});

test("5: logs are followed, cut, dated and rotated", async () => {
  await background(
    "--name",
    "log",
    h.image,
    "sh",
    "-c",
    "for i in 1 2 3; do echo line $i; sleep 0.3; done; echo bad >&2",
  );
  const followed = await attempt(["logs", "-f", "log"]);
  expect(followed).toMatchObject({ code: 0, stdout: "line 1\nline 2\nline 3\n", stderr: "bad\n" });
  expect((await attempt(["logs", "--tail", "2", "log"])).stdout).toBe("line 3\n");
  expect((await attempt(["logs", "-t", "log"])).stdout).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z line 1\n/);
  expect((await attempt(["logs", "--until", "1h", "log"])).stdout).toBe("");
  await ctrd("rm", "log");
  const rotation = ["--log-opt", "max-size=1k", "--log-opt", "max-file=2"];
  await background("--name", "rotated", ...rotation, h.image, "sh", "-c", "for i in $(seq 200); do echo line $i; done");
  await ctrd("wait", "rotated");
  await until("the last line is there", async () => (await ctrd("logs", "rotated")).endsWith("line 200\n"));
  expect((await ctrd("logs", "rotated")).split("\n").length).toBeLessThan(40);
  await ctrd("rm", "rotated");
});

test("5: --rm in the background, attach to input, start --attach", async () => {
  await background("--rm", h.image, "sleep", "0.5");
  await until("it is removed", async () => (await ctrd("ps", "-aq")) === "");
  await background("-i", "--name", "echo", h.image, "sh", "-c", "while read line; do echo got $line; done; exit 7");
  expect(await attempt(["attach", "echo"], { input: "this\n" })).toMatchObject({ code: 7, stdout: "got this\n" });
  await ctrd("rm", "echo");
  h.daemon.ids.add((await ctrd("create", "-i", "--name", "made", h.image, "cat")).trim());
  expect(await attempt(["start", "-a", "made"], { input: "given\n" })).toMatchObject({ code: 0, stdout: "given\n" });
  expect(await ctrd("logs", "made")).toBe("given\n");
  await ctrd("rm", "made");
});

test("5: a signal is the container's", async () => {
  const script = "trap 'echo caught; exit 9' TERM; echo ready; while true; do sleep 0.1; done";
  const child = start(node, [...flags, main, "run", "--rm", h.image, "sh", "-c", script], { env: env() });
  let output = "";
  child.stdout?.on("data", (data: Buffer) => (output += data.toString()));
  await until("it runs", () => output.includes("ready"));
  child.kill("SIGTERM");
  expect(await exited(child)).toBe(9);
  expect(output).toBe("ready\ncaught\n");
});

peerTest("5: a terminal: progress, a shell, Ctrl-C, size, detach keys, attach", ["tmux"], async () => {
  const big = await pushImage(h.registry, "e2e/cli-layers", "1", await layeredImage(4));
  await using terminal = await openTerminal(h.path("tmux"), 100, 30);
  for (const [name, value] of Object.entries(env())) await terminal.type(`export ${name}=${value}`);
  await terminal.type(`clear; PATH=${h.daemon.dir}:$PATH; ctrd pull ${big}`);
  await terminal.waitFor(new RegExp(`layer [0-9a-f]{12} +extracted[^]*${big.slice(-20)}: sha256:`));
  await terminal.type(`clear; ctrd run -it --name tty ${h.image} sh`);
  await terminal.waitFor(/\/ #/);
  await terminal.type("stty size");
  await terminal.waitFor(/30 100/);
  await terminal.resize(90, 20);
  await terminal.type("while test \"$(stty size)\" != '20 90'; do sleep 0.05; done; echo resized to $(stty size)");
  await terminal.waitFor(/^resized to 20 90$/m);
  await terminal.type("echo asleep; sleep 1000");
  await terminal.waitFor(/^asleep/m);
  await terminal.keys("C-c");
  await terminal.waitFor(/\^C/);
  await terminal.type("echo code $?");
  await terminal.waitFor(/code 130/);
  await terminal.keys("C-p", "C-q");
  await terminal.waitFor(/^shell\$\s*$/m);
  await terminal.type("clear; ctrd ps --format '{{.Names}}: {{.Status}}'");
  await terminal.waitFor(/^tty: Up /m);
  await terminal.type("clear; ctrd attach tty");
  await terminal.type("echo again $((40 + 2)); exit 5");
  await terminal.waitFor(/again 42/);
  await terminal.type("echo left with $?");
  await terminal.waitFor(/left with 5/);
  await ctrd("rm", "tty");
});

test("5: credentials are Docker's", async () => {
  const login = await attempt(["login", "-u", "me", "--password-stdin", h.registry.host], { input: "secret\n" });
  expect(login).toMatchObject({ code: 0, stdout: expect.stringContaining("Login succeeded") });
  expect(JSON.parse(readFileSync(h.path("docker/config.json"), "utf8"))).toEqual({
    auths: { [h.registry.host]: { auth: Buffer.from("me:secret").toString("base64") } },
  });
  await ctrd("logout", h.registry.host);
  expect(JSON.parse(readFileSync(h.path("docker/config.json"), "utf8"))).toEqual({ auths: {} });
});

test("5: the daemon and its stores", async () => {
  expect(await ctrd("version", "--format", "{{.Server}}")).toMatch(/^\d+\.\d+/);
  expect(JSON.parse(await ctrd("info", "--json"))).toMatchObject({ Address: h.daemon.address, Containers: 0 });
  const other = h.daemon.otherNamespace("cli");
  await ctrd("namespace", "create", other, "-l", "a=b");
  expect(await ctrd("namespace", "ls", "-q")).toContain(`${other}\n`);
  await ctrd("namespace", "rm", other);
  expect(await ctrd("content", "ls", "-q")).toContain(h.busybox.layers[0]?.descriptor.digest);
  expect(JSON.parse(await ctrd("content", "get", h.busybox.root.descriptor.digest))).toHaveProperty("layers");
  expect(await ctrd("snapshots", "ls", "--format", "{{.Kind}}")).toContain("committed");
  const lease = (await ctrd("leases", "create", "-l", "x=y")).trim();
  expect(await ctrd("leases", "ls", "-q")).toContain(lease);
  await ctrd("leases", "rm", lease);
  expect(await ctrd("system", "df")).toMatch(/^TYPE +TOTAL +ACTIVE +SIZE +RECLAIMABLE\nimages /);
});

test("5: events come as they happen", async () => {
  const child = start(node, [...flags, main, "events", "--json"], { env: env() });
  let output = "";
  child.stdout?.on("data", (data: Buffer) => (output += data.toString()));
  await until("an event has come", async () => {
    await ctrd("tag", h.image, "events:1");
    return output.includes("/images/");
  });
  child.kill("SIGINT");
  expect(await exited(child)).toBe(0);
  const [line = ""] = output.split("\n");
  expect(JSON.parse(line)).toMatchObject({
    Namespace: h.daemon.namespace,
    Event: { name: expect.stringContaining("events:1") },
  });
  await ctrd("rmi", "events:1");
});

test("5: each command has its help", async () => {
  const help = await ctrd("--help");
  const commands = [...help.matchAll(/^ {2}([a-z]+)(?:\||\s)/gm)].map((match) => match[1] ?? "");
  expect(commands.length).toBeGreaterThan(30);
  await Promise.all(
    commands
      .filter((command) => command !== "help")
      .map(async (command) => expect(await ctrd(command, "--help")).toContain(`Usage: ctrd ${command}`)),
  );
});

test("5: completion in bash", async () => {
  const complete = (...words: string[]): Promise<string> =>
    runOk(
      "bash",
      [
        "-c",
        `PATH="${h.daemon.dir}:$PATH"; eval "$(ctrd completion bash)"; COMP_WORDS=(ctrd "$@"); COMP_CWORD=$#; _ctrd; printf '%s\\n' "\${COMPREPLY[@]}"`,
        "bash",
        ...words,
      ],
      { env: env() },
    );
  expect(await complete("pu")).toBe("pull\npush\n");
  expect(await complete("run", "--ent")).toBe("--entrypoint\n");
  expect(await complete("rmi", h.image.slice(0, 12))).toContain(h.image);
});

peerTest("5: completion in zsh", ["zsh", "tmux"], async () => {
  await using terminal = await openTerminal(h.path("zsh-tmux"), 100, 30);
  for (const [name, value] of Object.entries(env())) await terminal.type(`export ${name}=${value}`);
  await terminal.type(`clear; PATH=${h.daemon.dir}:$PATH exec zsh -f`);
  await terminal.type(`autoload -Uz compinit; compinit -u -d ${h.path("zcompdump")}; eval "$(ctrd completion zsh)"`);
  await terminal.type("PS1='zsh> '; clear");
  await terminal.waitFor(/^zsh> *$/m);
  await terminal.keys("c", "t", "r", "d", "Space", "p", "u", "l", "Tab");
  await terminal.waitFor(/^zsh> ctrd pull *$/m);
  await terminal.keys("C-u", "c", "t", "r", "d", "Space", "r", "m", "i", "Space", "Tab");
  await terminal.waitFor(new RegExp(`^zsh> ctrd rmi ${h.registry.host}/e2e/`, "m"));
});

test("5: what is wrong is said with what to do", async () => {
  const nowhere = await attempt(["ps"], { env: { CTRD_ADDRESS: h.path("none.sock") } });
  expect(nowhere).toMatchObject({ code: 1, stderr: expect.stringMatching(/^ctrd: no daemon at .*\n +start one with/) });
  expect(await attempt(["inspect", "nothing"])).toMatchObject({ code: 1, stderr: expect.stringContaining("ctrd ps") });
  expect(await attempt(["pul", h.image])).toMatchObject({ code: 1, stderr: expect.stringContaining("pull") });
  const unlucky = await attempt(["pull", `${h.registry.host}/none:1`]);
  expect(unlucky).toMatchObject({ code: 1, stderr: expect.stringContaining("404") });
});

ctrdTest("5: the daemon's commands are the server's", async () => {
  expect(await ctrd("config", "default")).toContain("version = ");
  expect(await ctrd("plugins", "ls", "--address", h.daemon.address)).toContain("io.containerd.metadata.v1");
  const server = await run(node, [...flags, mainOf("server"), "pull", "x"]);
  expect(server.stderr).toContain("is a command of @ctrd/cli: npm install @ctrd/cli");
});
