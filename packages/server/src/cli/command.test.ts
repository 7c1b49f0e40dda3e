import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Any } from "@ctrd/api/google/protobuf/any";
import { NamespaceCreate } from "@ctrd/api/events/namespace";
import { createContext } from "@ctrd/core/context";
import { openChannel, proxyEvents } from "@ctrd/services";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const main = fileURLToPath(new URL("../main.ts", import.meta.url));

interface Finished {
  status: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

let directory: string;
let root: string;
let state: string;
let socket: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-command-"));
  [root, state] = [join(directory, "root"), join(directory, "state")];
  socket = join(state, "ctrd.sock");
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
  }
  await rm(directory, { recursive: true, force: true });
});

function start(command: string, argv: readonly string[], input?: Uint8Array): [ChildProcess, Promise<Finished>] {
  const child = spawn(command, argv, { stdio: ["pipe", "pipe", "pipe"] });
  children.push(child);
  const output: [string, string] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (output[0] += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output[1] += chunk.toString()));
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  const finished = once(child, "close").then(([status, signal]) => ({
    status: status as number | null,
    signal: signal as string | null,
    stdout: output[0],
    stderr: output[1],
  }));
  return [child, finished];
}

const ctrd = (...argv: string[]): [ChildProcess, Promise<Finished>] =>
  start(process.execPath, ["--conditions=ctrd-source", main, ...argv]);
const run = (...argv: string[]): Promise<Finished> => ctrd(...argv)[1];
const ctr = (...argv: string[]): Promise<Finished> => start("ctr", ["--address", socket, ...argv])[1];

/** Starts a daemon and waits until it serves. */
async function serve(...argv: string[]): Promise<[ChildProcess, Promise<Finished>]> {
  const daemon = ctrd("--root", root, "--state", state, ...argv);
  const [child, finished] = daemon;
  const log: string[] = [];
  const ready = new Promise<void>((resolve) => {
    child.stderr?.on("data", (chunk: Buffer) => {
      log.push(chunk.toString());
      if (log.join("").includes("daemon ready")) resolve();
    });
  });
  await Promise.race([ready, finished.then((result) => Promise.reject(new Error(result.stderr)))]);
  return daemon;
}

describe("ctrd", () => {
  it("prints its version and help", async () => {
    expect(await run("--version")).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^ctrd \d+\.\d+\.\d+\n$/),
    });
    expect((await run("--help")).stdout).toContain("usage: ctrd [options] [command]");
  });

  it.each([
    [["--rot", "/x"], `ctrd: Unknown option '--rot', did you mean "--root"? (see ctrd --help)\n`],
    [["serv"], 'ctrd: unknown command "serv", did you mean "serve"? (see ctrd --help)\n'],
    [["-l", "loud"], 'ctrd: log level "loud" is not one of '],
    [["publish", "--topic", "/x"], "ctrd: publish needs --topic and --namespace"],
    [["-c", "/none/config.toml"], "ctrd: read configuration /none/config.toml: ENOENT\n"],
  ])("%j is one line and status 1", async (argv, message) => {
    const result = await run(...argv);
    expect(result).toMatchObject({ status: 1, stdout: "" });
    expect(result.stderr).toContain(message);
    expect(result.stderr.trimEnd().split("\n").length).toBe(1);
  });

  it("prints a default configuration that it accepts without warnings", async () => {
    const printed = await run("config", "default");
    const config = join(directory, "config.toml");
    await writeFile(config, printed.stdout);
    expect(await run("config", "check", "-c", config)).toEqual({
      status: 0,
      signal: null,
      stdout: `${config}: ok\n`,
      stderr: "",
    });
    const dump = await run("config", "dump", "-c", config, "--root", root);
    expect(dump.stdout).toContain(`root = ${JSON.stringify(root)} # command line\n`);
  });

  it("names file, line and column of a corrupt configuration", async () => {
    const config = join(directory, "config.toml");
    await writeFile(config, 'version = 2\n[grpc]\nadress = "/x"\n');
    const result = await run("-c", config);
    expect(result.stderr).toBe(`ctrd: ${config}:3:1: grpc.adress: unknown key "adress", did you mean "address"?\n`);
    expect(result.status).toBe(1);
  });
});

describe("the daemon", () => {
  it("serves ctr, refuses a second daemon, dumps its state and stops cleanly", async () => {
    const [child, finished] = await serve();
    expect((await ctr("version")).stdout).toContain("Server:");
    expect((await ctr("plugins", "ls")).stdout).toMatch(/io\.containerd\.metadata\.v1 +bolt +- +ok/);
    expect((await ctr("namespaces", "create", "one")).status).toBe(0);
    expect((await ctr("namespaces", "ls", "-q")).stdout).toBe("one\n");
    expect((await ctr("images", "ls", "-q")).status).toBe(0);
    const second = await run("--root", root, "--state", join(directory, "state2"));
    expect(second).toMatchObject({ status: 1, stdout: "" });
    expect(second.stderr).toBe(
      `ctrd: root directory ${root} is in use by the ctrd with pid ${child.pid}; stop it, or set another root\n`,
    );
    child.kill("SIGPIPE");
    child.kill("SIGUSR1");
    await sleep(200);
    child.kill("SIGTERM");
    const result = await finished;
    expect(result).toMatchObject({ status: 0, signal: null });
    expect(result.stderr).toContain("state of the process");
    expect(result.stderr).toContain("daemon stopped");
    expect(existsSync(socket)).toBe(false);
  });

  it("refuses a socket that another process serves, and takes over a dead one", async () => {
    const path = join(directory, "busy.sock");
    const other = createServer().listen(path);
    await once(other, "listening");
    const result = await run("--root", root, "--state", state, "--address", path);
    expect(result.status).toBe(1);
    expect(result.stderr.trimEnd().split("\n").at(-1)).toMatch(
      new RegExp(`^ctrd: .*${path}.*in use|^ctrd: .*in use.*${path}`),
    );
    await new Promise((resolve) => other.close(resolve));
    const [child] = await serve();
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(existsSync(socket)).toBe(true);
    await serve();
    expect((await ctr("namespaces", "ls")).status).toBe(0);
  });

  it("exits at once on the second signal", async () => {
    const [child, finished] = await serve();
    // An open stream keeps the server in its grace period.
    using channel = openChannel(socket);
    const subscription = proxyEvents(channel).subscribe(createContext(), [])[Symbol.asyncIterator]();
    const pending = subscription.next().catch(() => undefined);
    await ctr("namespaces", "create", "x");
    child.kill("SIGINT");
    await sleep(300);
    const began = performance.now();
    child.kill("SIGINT");
    const result = await finished;
    await pending;
    expect(performance.now() - began).toBeLessThan(2_000);
    expect([0, 1]).toContain(result.status);
  });

  it("publishes events from standard input", async () => {
    await serve();
    using channel = openChannel(socket);
    const envelopes = proxyEvents(channel).subscribe(createContext(), ['topic=="/test/topic"']);
    const subscription = envelopes[Symbol.asyncIterator]();
    const first = subscription.next();
    await ctr("namespaces", "create", "flush");
    const value = NamespaceCreate.encode(NamespaceCreate.create({ name: "n" })).finish();
    const event = Any.encode({ typeUrl: "containerd.events.NamespaceCreate", value }).finish();
    const argv = ["--address", socket, "publish", "--topic", "/test/topic", "--namespace", "one"];
    const [, published] = start(join(root, "ctrd"), argv, event);
    expect(await published).toEqual({ status: 0, signal: null, stdout: "", stderr: "" });
    const received = await first;
    expect(received.value).toMatchObject({ namespace: "one", topic: "/test/topic" });
    await subscription.return?.();
    const [, refused] = start(join(root, "ctrd"), [...argv.slice(0, 4), "topic", ...argv.slice(5)], event);
    expect((await refused).stderr).toContain('topic "topic"');
    const [, garbage] = start(join(root, "ctrd"), argv, Uint8Array.of(0xff, 0xff));
    expect((await garbage).stderr).toContain("standard input is not an encoded google.protobuf.Any");
  });
});
