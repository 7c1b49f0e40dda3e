/** Specs made here, run by the real runc on a busybox root filesystem. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { CommandResult, TempDir } from "@ctrd/testkit/fixtures";
import { leakCheck, mountsBelow, runCommand, tempDir } from "@ctrd/testkit/fixtures";
import { specContext } from "../test/context.ts";
import { unpackBusybox } from "../test/rootfs.ts";
import type { SpecOption } from "./index.ts";
import {
  bindMount,
  createSpec,
  encodeSpec,
  rlimitInfinity,
  tmpfsMount,
  withAddedCapabilities,
  withAdditionalGroups,
  withCapabilities,
  withCdiDevices,
  withCpuLimit,
  withDefaultSeccomp,
  withDevice,
  withEnv,
  withHooks,
  withHostname,
  withHostNamespace,
  withImageConfig,
  withMemory,
  withMounts,
  withNamespace,
  withOomScoreAdj,
  withPidsLimit,
  withPrivileged,
  withProcessArgs,
  withReadonlyRoot,
  withRlimit,
  withRootPath,
  withShmSize,
  withSysctls,
  withUser,
  withUserNamespace,
} from "./index.ts";

let dir: TempDir;
let rootfs: string;
let count = 0;
const marker = `oci-${process.pid}`;

beforeAll(async () => {
  dir = await tempDir();
  rootfs = join(dir.path, "rootfs");
  mkdirSync(rootfs);
  await unpackBusybox(rootfs);
});
afterAll(async () => {
  expect(await mountsBelow(dir.path)).toEqual([]);
  await dir[Symbol.asyncDispose]();
});

/** Runs a shell script in a container with these options, and gives what it said. */
async function run(script: string, ...options: readonly SpecOption[]): Promise<CommandResult> {
  count += 1;
  const id = `${marker}-${count}`;
  const bundle = join(dir.path, id);
  mkdirSync(bundle);
  const image = { Env: ["PATH=/bin", "FROM=image"], WorkingDir: "/home/app" };
  const spec = await createSpec(
    specContext({ id, rootfs, image }),
    withImageConfig(),
    withRootPath(rootfs),
    withProcessArgs("sh", "-c", script),
    ...options,
  );
  writeFileSync(join(bundle, "config.json"), encodeSpec(spec));
  return runCommand("runc", ["--root", join(dir.path, "runc"), "run", "--bundle", bundle, id]);
}

async function output(script: string, ...options: readonly SpecOption[]): Promise<string> {
  const result = await run(script, ...options);
  expect(result).toMatchObject({ exitCode: 0, stderr: "" });
  return result.stdout;
}

/** Lines of /proc/self/status by name. */
function statusFields(text: string): Record<string, string> {
  return Object.fromEntries(text.split("\n").map((line) => line.split(/:\s+/, 2) as [string, string]));
}

test("no option: what the default spec promises", async () => {
  const status = statusFields(await output("cat /proc/self/status"));
  // The 14 capabilities as bits; none of them inheritable (GO-2024-2846).
  expect(status).toMatchObject({
    CapInh: "0000000000000000",
    CapPrm: "00000000a80425fb",
    CapEff: "00000000a80425fb",
    CapBnd: "00000000a80425fb",
    CapAmb: "0000000000000000",
    NoNewPrivs: "1",
    Seccomp: "0",
  });
  expect(await output("pwd; echo $FROM; cat /proc/self/cgroup; ulimit -n")).toMatch(
    new RegExp(String.raw`^/home/app\nimage\n(.*\n)*.*/default/${marker}-\d+\n1024\n$`),
  );
});

test("environment, host name, user, groups, OOM score, limits", async () => {
  const text = await output(
    "env; hostname; id -u; id -g; id -G; cat /proc/self/oom_score_adj; ulimit -n; ulimit -c",
    withEnv("A=1", "FROM"),
    withHostname("box"),
    withUser("app"),
    withAdditionalGroups("nogroup"),
    withOomScoreAdj(500),
    withRlimit("nofile", 77, 88),
    withRlimit("core", rlimitInfinity),
  );
  expect(text).toContain("A=1\n");
  expect(text).not.toContain("FROM=");
  expect(text.split("\n").slice(-8)).toEqual(["box", "1000", "1000", "1000 10 29 65534", "500", "77", "unlimited", ""]);
});

test("CVE-2023-25173: in the container the primary group is among the supplementary ones", async () => {
  const text = await output("grep Groups /proc/self/status", withUser("1000:10"));
  expect(text.trim()).toMatch(/^Groups:\s+10$/);
});

describe("seccomp", () => {
  test("the default filter is on and refuses what is not allowed", async () => {
    const result = await run(
      "grep ^Seccomp: /proc/self/status; unshare -n true || echo no-unshare; chroot / true && echo chroot",
      withDefaultSeccomp(),
    );
    expect(result.stdout).toBe("Seccomp:\t2\nno-unshare\nchroot\n");
    expect(result.stderr).toContain("Operation not permitted");
  });

  test("a capability opens the calls that it is for", async () => {
    expect(await output("unshare -n true && echo yes", withAddedCapabilities("SYS_ADMIN"), withDefaultSeccomp())).toBe(
      "yes\n",
    );
  });
});

test("mounts, read-only root, /dev/shm, device", async () => {
  mkdirSync(join(dir.path, "data"));
  writeFileSync(join(dir.path, "data/file"), "from the host\n");
  const text = await output(
    [
      "cat /data/file",
      "touch /data/x 2>/dev/null || echo data is read-only",
      "touch /x 2>/dev/null || echo root is read-only",
      "touch /scratch/x && echo scratch is writable",
      "df -k /dev/shm | tail -1 | awk '{print $2}'",
      "head -c 3 /dev/nought | od -An -tx1",
    ].join("; "),
    withMounts(
      bindMount(join(dir.path, "data"), "/data", { readonly: true }),
      tmpfsMount("/scratch", { size: 1 << 20 }),
    ),
    withReadonlyRoot(),
    withShmSize(8 << 20),
    withDevice({ hostPath: "/dev/zero", containerPath: "/dev/nought", permissions: "r" }),
  );
  expect(text).toBe("from the host\ndata is read-only\nroot is read-only\nscratch is writable\n8192\n 00 00 00\n");
});

test("GO-2023-2412: masked and read-only paths in the container", async () => {
  const script =
    "cat /proc/kcore | wc -c; ls -A /sys/firmware | wc -l; ls -A /sys/devices/virtual/powercap 2>/dev/null | wc -l; " +
    "echo 1 > /proc/sys/kernel/sysrq || echo read-only";
  const { stdout } = await run(script, withHostNamespace("network"));
  expect(stdout).toBe("0\n0\n0\nread-only\n");
});

test("namespaces: new, the host's, joined", async () => {
  const script = "for type in net uts ipc; do readlink /proc/self/ns/$type; done";
  const own = (
    await runCommand("readlink", ["/proc/self/ns/net", "/proc/self/ns/uts", "/proc/self/ns/ipc"])
  ).stdout.split("\n");
  const [net, uts, ipc] = (
    await output(script, withHostNamespace("network"), withNamespace("ipc", "/proc/self/ns/ipc"))
  ).split("\n");
  expect(net).toBe(own[0]);
  expect(uts).not.toBe(own[1]);
  expect(ipc).toBe(own[2]);
});

test("user namespace with mappings", async () => {
  const map = [{ containerID: 0, hostID: 0, size: 65_536 }];
  const text = await output("cat /proc/self/uid_map; id -u", withUserNamespace(map, map));
  expect(text.replaceAll(/ +/g, " ")).toBe(" 0 0 65536\n0\n");
});

test("memory, processor and process limits", async () => {
  // Of cgroup v2, or the same in v1.
  const text = await output(
    "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max 2>/dev/null || " +
      "{ cat memory/memory.limit_in_bytes; echo $(cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us); cat pids/pids.max; }",
    withMemory({ limit: 64 << 20, swap: 64 << 20 }),
    withCpuLimit(0.5),
    withPidsLimit(33),
    withNamespace("cgroup"),
    withMounts({ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro"] }),
  );
  expect(text).toBe(`${64 << 20}\n50000 100000\n33\n`);
});

test("kernel parameters and hooks", async () => {
  const file = join(dir.path, "hook-ran");
  const text = await output(
    "cat /proc/sys/net/ipv4/ip_forward",
    withSysctls({ "net.ipv4.ip_forward": "1" }),
    withHooks("createRuntime", { path: "/bin/sh", args: ["sh", "-c", `echo hook > ${file}`] }),
  );
  expect(text).toBe("1\n");
  expect((await runCommand("cat", [file])).stdout).toBe("hook\n");
});

test("privileged: everything is allowed", async () => {
  const text = await output(
    "grep -E '^(CapEff|Seccomp):' /proc/self/status; grep -c ' /sys sysfs rw' /proc/self/mounts; ls /dev/kmsg",
    withPrivileged(),
  );
  const bounding = (await runCommand("grep", ["CapBnd", "/proc/self/status"])).stdout.split("\t")[1]?.trim();
  expect(text).toBe(`CapEff:\t${bounding}\nSeccomp:\t0\n1\n/dev/kmsg\n`);
});

test("no capability at all", async () => {
  const text = await output("grep ^Cap /proc/self/status", withCapabilities());
  expect(text.match(/0000000000000000/g)).toHaveLength(5);
});

test("a CDI device", async () => {
  const directory = join(dir.path, "cdi");
  mkdirSync(directory);
  writeFileSync(
    join(directory, "example.yaml"),
    `cdiVersion: "0.6.0"
kind: example.com/thing
containerEdits:
  env: [THING=all]
devices:
  - name: one
    containerEdits:
      env: [ONE=1]
      deviceNodes: [{ path: /dev/thing, hostPath: /dev/zero, permissions: r }]
      mounts: [{ hostPath: ${rootfs}/etc, containerPath: /thing, options: [rbind, ro] }]
`,
  );
  const text = await output(
    "echo $THING $ONE; head -c 1 /dev/thing | od -An -tx1; ls /thing/passwd",
    withCdiDevices(["example.com/thing=one"], [directory]),
  );
  expect(text).toBe("all 1\n 00\n/thing/passwd\n");
});

test("nothing is left behind", async () => {
  const check = await leakCheck({ root: dir.path, markers: [marker] });
  await output("true", withDefaultSeccomp());
  await check.expectClean();
});
