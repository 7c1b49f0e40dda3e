/**
 * Issue 5, Shows 3: gVisor. Its shim is the one of tools/setup-host.sh, which starts where OOM scores cannot be lowered.
 */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { unmountAll } from "@ctrd/sys";
import type { TempDir } from "@ctrd/testkit/fixtures";
import { tempDir } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run, until } from "./support/command.ts";
import type { CriHarness } from "./support/cri.ts";
import { openCri } from "./support/cri.ts";
import { list } from "./support/machine-state.ts";
import { ctr2, requirePeers, runsc, runscShim } from "./support/peers.ts";

let dir: TempDir;
let cri: CriHarness;
beforeAll(async () => {
  requirePeers([ctr2, runsc, runscShim]);
  dir = await tempDir("gvisor-");
  // Where runsc keeps what it has, and not where all do.
  writeFileSync(join(dir.path, "runsc.toml"), `root = "${root("shim")}"\n[runsc_config]\nplatform = "systrap"\n`);
  const handlers = `[plugins."io.containerd.cri.v1.runtime".containerd.runtimes`;
  // Not all of the directory that they are in: it has a newer runc too.
  const bin = join(dir.path, "bin");
  mkdirSync(bin);
  for (const program of [runsc, runscShim]) symlinkSync(program, join(bin, basename(program)));
  process.env["PATH"] = `${process.env["PATH"] ?? ""}:${bin}`;
  cri = await openCri(
    "gvisor",
    `${handlers}.runc]
${handlers}.runsc]
runtime_type = "io.containerd.runsc.v1"
runtime_path = "${runscShim}"
${handlers}.runsc.options]
TypeUrl = "io.containerd.runsc.v1.options"
ConfigPath = "${join(dir.path, "runsc.toml")}"
`,
  );
});
afterAll(async () => {
  try {
    await cri?.close();
  } finally {
    // runsc keeps an empty network namespace mounted for as long as its root is there.
    for (const kind of ["shim", "runc"]) {
      for (const namespace of list(root(kind))) unmountAll(join(namespace, "null-netns"));
    }
    await dir?.[Symbol.asyncDispose]();
  }
});

const root = (kind: string): string => join(dir.path, `${kind}-root`);

/** What the kernel inside says at its start. */
const gvisor = /Starting gVisor/;

/** The command lines of sandboxes that have their state in a directory. */
async function sandboxes(kind: string): Promise<string[]> {
  const { stdout } = await run("ps", ["-eo", "args"], {});
  return stdout.split("\n").filter((line) => line.startsWith("runsc-sandbox") && line.includes(root(kind)));
}

test("5: a pod under the handler runsc: its containers see gVisor's kernel", async () => {
  const pod = await cri.runPod("gvisor", {}, "runsc");
  const { status } = await cri.runtime.podSandboxStatus(cri.ctx, { podSandboxId: pod, verbose: false });
  expect(status?.runtimeHandler).toBe("runsc");
  const one = await cri.start(pod, "one", "dmesg; sleep 1000");
  const two = await cri.start(pod, "two", "sleep 1000");
  expect((await cri.exec(one, "dmesg")).text).toMatch(gvisor);
  // Both are in the one sandbox of the pod, whose platform is systrap.
  expect(await sandboxes("shim")).toEqual([expect.stringContaining("--platform=systrap")]);
  expect((await cri.exec(two, "ip", "addr", "show", "eth0")).text).toContain(status?.network?.ip);
  expect(await cri.exec(two, "sh", "-c", "exit 7")).toMatchObject({ exitCode: 7 });
  const log = join(cri.logs, "gvisor", "one.log");
  await until("the log has it", () => gvisor.test(readFileSync(log, "utf8")));
  await cri.runtime.stopContainer(cri.ctx, { containerId: one, timeout: 0n });
  expect(await cri.inState(one, 2)).toMatchObject({ exitCode: 137 });
  // The sandbox outlives the daemon, like any other.
  await cri.h.daemon.kill9();
  await cri.h.daemon.restart();
  expect((await cri.exec(two, "dmesg")).text).toMatch(gvisor);
  expect(await cri.removePods()).toEqual([]);
  expect(await sandboxes("shim")).toEqual([]);
}, 120_000);

test("5: the same by ctr", async () => {
  const { daemon, image } = cri.h;
  await daemon.ctr(["images", "pull", "--plain-http", image]);
  // Where `ctr` finds the shim, and the shim its runtime. The annotation: without a terminal the shim waits for the end of
  // its runtime's output unless it takes the container for a pod's own (it does so under containerd too).
  const flags = ["--runtime", "io.containerd.runsc.v1", "--runtime-config-path", join(dir.path, "runsc.toml")];
  const annotation = ["--annotation", "io.kubernetes.cri.container-type=sandbox"];
  const command = ["sh", "-c", "dmesg; sleep 0.3"];
  const args = ["run", "--rm", ...flags, ...annotation, image, daemon.id("gvisor"), ...command];
  const result = await run(ctr2, [...daemon.flags(), ...args], {});
  expect([result.code, result.stdout]).toEqual([0, expect.stringMatching(gvisor)]);
}, 120_000);

// A pod's further containers wait for ever there: runsc's start of them does not end without its own shim.
test("5: runsc through the shim of runc", async () => {
  const { daemon, image } = cri.h;
  const flags = ["--runc-binary", runsc, "--runc-root", root("runc")];
  const args = ["run", "--rm", ...flags, image, daemon.id("by-runc"), "sh", "-c", "dmesg; sleep 0.3"];
  const result = await run(ctr2, [...daemon.flags(), ...args], {});
  expect([result.code, result.stdout]).toEqual([0, expect.stringMatching(gvisor)]);
}, 120_000);
