/** Show 6: nerdctl, as it is, on ctrd. Its networks need a machine of their own; here containers have none. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect } from "vitest";
import { describe as describeResult, run, until, type CommandResult } from "./support/command.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { nerdctl, peerTest } from "./support/peers.ts";

let h: Harness;

beforeAll(async () => {
  h = await openHarness("nerdctl", { pull: false });
  mkdirSync(h.path("hosts"));
});
afterAll(() => h?.close());

function flags(): string[] {
  return [
    ...["--address", h.daemon.address, "--namespace", h.daemon.namespace, "--insecure-registry"],
    ...["--data-root", h.path("nerdctl"), "--hosts-dir", h.path("hosts")],
    ...["--cni-path", "/usr/lib/cni", "--cni-netconfpath", h.path("cni")],
  ];
}

const env = (): Record<string, string> => ({ TMPDIR: h.daemon.tmp, DOCKER_CONFIG: h.path("docker") });

const attempt = (...args: string[]): Promise<CommandResult> =>
  run(nerdctl, [...flags(), ...args], { env: env(), timeoutMs: 60_000 });

async function nerd(...args: string[]): Promise<string> {
  const result = await attempt(...args);
  if (result.code !== 0) throw new Error(describeResult(result));
  return result.stdout;
}

peerTest(
  "6: nerdctl pulls through the Transfer service, tags, pushes, saves, loads and removes",
  [nerdctl],
  async () => {
    expect(await nerd("pull", h.image)).toContain("Completed pull from OCI Registry");
    const copy = `${h.registry.host}/e2e/copy:2`;
    await nerd("tag", h.image, copy);
    await nerd("push", copy);
    await nerd("save", "-o", h.path("image.tar"), copy);
    await nerd("rmi", copy);
    expect(await nerd("images", "--format", "{{.Repository}}:{{.Tag}}")).toBe(`${h.image}\n`);
    expect(await nerd("load", "-i", h.path("image.tar"))).toContain(copy);
    const [inspected] = JSON.parse(await nerd("image", "inspect", copy)) as { RepoDigests: string[] }[];
    expect(inspected?.RepoDigests.join()).toContain(h.busybox.root.descriptor.digest);
    await nerd("rmi", copy);
  },
);

peerTest("6: nerdctl run, ps, logs, exec, inspect, stop, start, rm", [nerdctl], async () => {
  const said = await nerd("run", "--rm", "--net", "none", h.image, "sh", "-c", "echo said; sleep 0.3");
  expect(said).toBe("said\n");
  const failed = await attempt("run", "--rm", "--net", "none", h.image, "sh", "-c", "sleep 0.3; exit 7");
  expect(failed.code).toBe(7);

  const name = h.daemon.id("web");
  const script = "echo first; while sleep 0.2; do :; done";
  const id = (await nerd("run", "-d", "--net", "none", "--name", name, h.image, "sh", "-c", script)).trim();
  h.daemon.ids.add(id);
  expect(await nerd("ps", "--format", "{{.Names}} {{.Status}}")).toBe(`${name} Up\n`);
  await until("the log has a line", async () => (await nerd("logs", name)) === "first\n", 10_000);
  expect(await nerd("exec", name, "sh", "-c", "echo inside; sleep 0.3")).toBe("inside\n");
  // nerdctl itself ends with 1 then.
  expect((await attempt("exec", name, "sh", "-c", "sleep 0.3; exit 4")).stderr).toContain("exit code 4");
  const [state] = JSON.parse(await nerd("inspect", name)) as { Id: string; State: { Status: string; Pid: number } }[];
  expect(state).toMatchObject({ Id: id, State: { Status: "running" } });
  expect(await nerd("top", name)).toContain("sleep");
  expect(await nerd("stats", "--no-stream", "--format", "{{.Name}}", name)).toContain(name);

  await nerd("pause", name);
  expect(await nerd("ps", "-a", "--format", "{{.Status}}")).toBe("Paused\n");
  await nerd("unpause", name);
  await nerd("stop", "--time", "1", name);
  expect(await nerd("ps", "-a", "--format", "{{.Status}}")).toMatch(/^Exited \(137\)/);
  await nerd("start", name);
  expect(await nerd("ps", "--format", "{{.Names}}")).toBe(`${name}\n`);
  await nerd("rm", "-f", name);
  expect(await nerd("ps", "-aq")).toBe("");
});

peerTest("6: nerdctl follows logs, commits, copies and limits", [nerdctl], async () => {
  const name = h.daemon.id("files");
  const script = "while sleep 0.2; do echo line; done";
  const limits = ["--memory", "64m", "--cpus", "0.5", "--pids-limit", "50", "--read-only=false", "-e", "GREETING=hi"];
  const run = ["run", "-d", "--net", "none", "--name", name, ...limits, h.image, "sh", "-c", script];
  h.daemon.ids.add((await nerd(...run)).trim());
  const follower = spawn(nerdctl, [...flags(), "logs", "-f", name], {
    env: { ...process.env, ...env() },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(follower, "exit");
  const followed = text(follower.stdout);
  await until("two lines are logged", async () => (await nerd("logs", name)).split("\n").length > 2, 10_000);

  expect(await nerd("exec", name, "sh", "-c", "echo $GREETING; sleep 0.3")).toBe("hi\n");
  writeFileSync(h.path("file"), "copied in\n");
  await nerd("cp", h.path("file"), `${name}:/root-file`);
  expect(await nerd("exec", name, "sh", "-c", "cat /root-file; sleep 0.3")).toBe("copied in\n");
  const committed = "e2e.test/committed:1";
  await nerd("commit", name, committed);
  const seen = await nerd("run", "--rm", "--net", "none", committed, "sh", "-c", "cat /root-file; sleep 0.3");
  expect(seen).toBe("copied in\n");
  await nerd("rm", "-f", name);
  await ended;
  expect((await followed).split("\n").filter((line) => line === "line").length).toBeGreaterThanOrEqual(2);
  await nerd("rmi", committed);
});
