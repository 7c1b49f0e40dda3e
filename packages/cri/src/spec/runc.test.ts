/** Specs made here, run by the real runc: a sandbox on a busybox root filesystem and containers in its namespaces. */
import { chmodSync, mkdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NamespaceMode, SecurityProfile_ProfileType as ProfileType } from "@ctrd/api/cri/runtime/v1/api";
import type { LeakCheck, TempDir } from "@ctrd/testkit/fixtures";
import { busyboxEntries, leakCheck, mustRun, tarBuffer, tempDir } from "@ctrd/testkit/fixtures";
import type { RuncPod } from "../../test/runc-pod.ts";
import { mayLowerOomScore, removeCgroup, runcMapsMounts, startRuncPod } from "../../test/runc-pod.ts";
import type { ContainerParts } from "../../test/spec-input.ts";

const marker = `cri-spec-${process.pid}`;
const cgroupParent = `/${marker}`;
let dir: TempDir;
let check: LeakCheck;
let rootfs: string;
let pod: RuncPod;

beforeAll(async () => {
  dir = await tempDir();
  check = await leakCheck({ root: dir.path, markers: [marker] });
  rootfs = join(dir.path, "rootfs");
  mkdirSync(rootfs);
  // Root of a user namespace is nobody to the host.
  chmodSync(dir.path, 0o711);
  await mustRun("tar", ["-x", "-C", rootfs], { input: tarBuffer(await busyboxEntries("hardlink")) });
  const sandbox = { config: { linux: { securityContext: { privileged: true } } } };
  pod = await startRuncPod({ directory: join(dir.path, "pod"), rootfs, id: marker, cgroupParent, sandbox });
});
afterAll(async () => {
  await pod[Symbol.asyncDispose]();
  removeCgroup(cgroupParent);
  await check.expectClean();
  await dir[Symbol.asyncDispose]();
});

type Security = NonNullable<NonNullable<NonNullable<ContainerParts["config"]>["linux"]>["securityContext"]>;

/** Declares a test for what the runc of this machine can do. What it cannot is no requirement of it. */
function testWhen(able: boolean): (name: string, body: () => Promise<void>) => void {
  return (name, body) => {
    if (able) test(name, body);
  };
}

/** A container with this security context. */
function secured(securityContext: Security): ContainerParts {
  return { config: { linux: { securityContext } } };
}

const privilegedPod = { linux: { securityContext: { privileged: true } } };

test("the sandbox: last to be killed, next to no processor time, the pod's network parameters", async () => {
  const own = readFileSync("/proc/self/oom_score_adj", "utf8");
  expect(readFileSync(`/proc/${pod.pid}/oom_score_adj`, "utf8")).toBe(mayLowerOomScore ? "-998\n" : own);
  expect(
    await pod.output("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range"),
  ).toBe("0\n0\t2147483647\n");
  expect(await pod.output("hostname; echo $HOSTNAME; cat /etc/hostname /etc/resolv.conf")).toBe(
    "web-host\nweb-host\nweb-host\nnameserver 127.0.0.1\n",
  );
});

test("namespaces are the pod's; processes can be the container's own or another's", async () => {
  const script = "for type in net uts ipc pid; do readlink /proc/self/ns/$type; done";
  const links = (pid: number | string): string[] =>
    ["net", "uts", "ipc", "pid"].map((type) => readlinkSync(`/proc/${pid}/ns/${type}`));
  const ofPod = links(pod.pid);
  expect((await pod.output(script)).trim().split("\n")).toEqual(ofPod);
  expect(ofPod).not.toEqual(links("self"));
  const own = (await pod.output(script, secured({ namespaceOptions: { pid: NamespaceMode.CONTAINER } })))
    .trim()
    .split("\n");
  expect(own.slice(0, 3)).toEqual(ofPod.slice(0, 3));
  expect(own[3]).not.toBe(ofPod[3]);
  const target = {
    ...secured({ namespaceOptions: { pid: NamespaceMode.TARGET, targetId: "t" } }),
    targetPid: process.pid,
  };
  expect((await pod.output(script, target)).trim().split("\n")[3]).toBe(readlinkSync("/proc/self/ns/pid"));
});

test("capabilities: the default ones, none, those that are named; never inheritable ones (GO-2024-2846)", async () => {
  const bits = async (parts?: ContainerParts): Promise<string[]> =>
    [...(await pod.output("grep ^Cap /proc/self/status", parts)).matchAll(/([0-9a-f]{16})/g)].map(([word]) => word);
  // Inheritable, permitted, effective, bounding, ambient.
  const none = "0".repeat(16);
  expect(await bits()).toEqual([none, "00000000a80425fb", "00000000a80425fb", "00000000a80425fb", none]);
  const some = secured({ capabilities: { addCapabilities: ["NET_ADMIN"], dropCapabilities: ["ALL"] } });
  expect(await bits(some)).toEqual([none, "0000000000001000", "0000000000001000", "0000000000001000", none]);
});

test("user, group, groups of the image and of the request (CVE-2023-25173), no new privileges", async () => {
  const asked = { runAsUser: { value: 1000n }, supplementalGroups: [5000n], noNewPrivs: true };
  const script = "id -u; id -g; grep -E '^(Groups|NoNewPrivs)' /proc/self/status";
  expect(await pod.output(script, secured(asked))).toMatch(
    /^1000\n1000\nGroups:\t10 29 1000 5000 ?\nNoNewPrivs:\t1\n$/,
  );
  const strict = secured({ ...asked, supplementalGroupsPolicy: 1, noNewPrivs: false });
  expect(await pod.output(script, strict)).toMatch(/^1000\n1000\nGroups:\t1000 5000 ?\nNoNewPrivs:\t0\n$/);
});

describe("seccomp", () => {
  const script =
    "grep ^Seccomp: /proc/self/status; unshare -n true 2>/dev/null && echo unshared; mkdir /tmp/x 2>&1; rmdir /tmp/x";
  const admin = { capabilities: { addCapabilities: ["SYS_ADMIN"] } };

  test("unconfined, and the default that knows the capabilities", async () => {
    expect(await pod.output(script, secured(admin))).toBe("Seccomp:\t0\nunshared\n");
    const profile = { seccomp: { profileType: ProfileType.RuntimeDefault } };
    expect(await pod.output(script, secured({ ...admin, ...profile }))).toBe("Seccomp:\t2\nunshared\n");
    expect(await pod.output(script, secured(profile))).toBe("Seccomp:\t2\n");
  });

  test("a profile of the host", async () => {
    const file = join(dir.path, "no-mkdir.json");
    const syscalls = [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO" }];
    writeFileSync(file, JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls }));
    const seccomp = { profileType: ProfileType.Localhost, localhostRef: file };
    const result = await pod.run("mkdir /tmp/y", secured({ seccomp }));
    expect(result).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining("Operation not permitted") as unknown,
    });
  });
});

test("masked and read-only paths (GO-2023-2412), a read-only root", async () => {
  const script =
    "head -c 1 /proc/kcore | wc -c; ls -A /sys/devices/virtual/powercap 2>/dev/null | wc -l; " +
    "echo 1 > /proc/sys/kernel/sysrq || echo read-only; touch /tmp/file || echo root";
  const paths = { maskedPaths: ["/proc/kcore"], readonlyPaths: ["/proc/sys"], readonlyRootfs: true };
  expect((await pod.run(script, secured(paths))).stdout).toBe("0\n0\nread-only\nroot\n");
});

test("privileged: all capabilities and devices, /sys can be written", async () => {
  const parts = { ...secured({ privileged: true }), pod: privilegedPod };
  const text = await pod.output(
    "grep -E '^(CapEff|Seccomp):' /proc/self/status; grep -c ' /sys sysfs rw' /proc/self/mounts; ls /dev/kmsg",
    parts,
  );
  const bounding = /^CapBnd:\t(\w+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  expect(text).toBe(`CapEff:\t${bounding}\nSeccomp:\t0\n1\n/dev/kmsg\n`);
});

test("mounts: read-only, all below too, shared memory of the pod, a volume of the image", async () => {
  const data = join(dir.path, "data");
  mkdirSync(data);
  const mount = (containerPath: string, how: object): object => ({ hostPath: data, containerPath, ...how });
  const script =
    "touch /rw/a && echo rw; touch /ro/b 2>/dev/null || echo ro; touch /rro/c 2>/dev/null || echo rro; " +
    "touch /vol/d && echo vol; echo shared > /dev/shm/from-one";
  const mounts = [
    mount("/rw", {}),
    mount("/ro", { readonly: true }),
    mount("/rro", { readonly: true, recursiveReadOnly: true }),
  ];
  expect(await pod.output(script, { config: { mounts }, volumes: ["/vol"] })).toBe("rw\nro\nrro\nvol\n");
  expect(await pod.output("cat /dev/shm/from-one")).toBe("shared\n");
});

test("devices: only those asked for, as they may be used", async () => {
  // Not one of those that every container may use.
  const devices = [{ hostPath: "/dev/kmsg", containerPath: "/dev/log", permissions: "w" }];
  const script =
    "sh -c ': > /dev/log' && echo write; sh -c ': < /dev/log' 2>/dev/null || echo no-read; ls /dev/kmsg 2>/dev/null || echo no-kmsg";
  const parts = { config: { devices, linux: { securityContext: { capabilities: { addCapabilities: ["SYSLOG"] } } } } };
  expect(await pod.output(script, parts)).toBe("write\nno-read\nno-kmsg\n");
});

test("limits, the OOM score, the cgroup below that of the pod", async () => {
  const resources = {
    memoryLimitInBytes: 64n << 20n,
    cpuQuota: 50_000n,
    cpuPeriod: 100_000n,
    cpuShares: 512n,
    cpusetCpus: "0",
    oomScoreAdj: 900n,
  };
  // Of cgroup v2, or the same in v1.
  const script =
    "cat /proc/self/oom_score_adj; grep -c Cpus_allowed_list:.0$ /proc/self/status; cd /sys/fs/cgroup; " +
    "cat memory.max cpu.max 2>/dev/null || " +
    "{ cat memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes; echo $(cat cpu/cpu.cfs_quota_us cpu/cpu.shares); }";
  const text = await pod.output(`${script}; grep -c '${marker}/${marker}-' /proc/self/cgroup || true`, {
    config: { linux: { resources } },
  });
  expect(text).toMatch(/^900\n1\n67108864\n(67108864\n50000 512|50000 100000)\n\d+\n$/);
});

test("a terminal has its TERM, arguments and directory are those of the request", async () => {
  const parts = { config: { command: ["pwd"], args: [], workingDir: "/home/app", envs: [] } };
  expect(await pod.output("", parts)).toBe("/home/app\n");
  const env = { config: { envs: [{ key: "A", value: Buffer.from("with space=1") }] } };
  expect(await pod.output("echo $A", env)).toBe("with space=1\n");
});

describe("user namespace", () => {
  const ids = [{ hostId: 1_000_000, containerId: 0, length: 65_536 }];
  const usernsOptions = { mode: NamespaceMode.POD, uids: ids, gids: ids };
  const inUser = (network: NamespaceMode): Security => ({ namespaceOptions: { usernsOptions, network } });

  test("the sandbox is root inside and nobody outside", async () => {
    await using mapped = await startRuncPod({
      directory: join(dir.path, "mapped"),
      rootfs,
      id: `${marker}-user`,
      cgroupParent,
      sandbox: { netnsPath: "", config: { linux: { securityContext: inUser(NamespaceMode.NODE) } } },
    });
    expect(readFileSync(`/proc/${mapped.pid}/uid_map`, "utf8").trim().split(/\s+/)).toEqual(["0", "1000000", "65536"]);
    expect(readFileSync(`/proc/${mapped.pid}/status`, "utf8")).toMatch(/^Uid:\t1000000\t/m);
  });

  // Debian's runc cannot do it; one that tools/setup-host.sh builds can.
  const mappedTest = testWhen(runcMapsMounts);
  mappedTest("containers are in it too, and the files of mounts have the ids that they have there", async () => {
    const linux = { securityContext: inUser(NamespaceMode.POD) };
    await using mapped = await startRuncPod({
      directory: join(dir.path, "mapped-pod"),
      rootfs,
      id: `${marker}-mapped`,
      cgroupParent,
      sandbox: { config: { linux } },
      user: { firstId: 1_000_000 },
    });
    const data = join(dir.path, "mapped-data");
    mkdirSync(data);
    writeFileSync(join(data, "file"), "");
    const mounts = [{ hostPath: data, containerPath: "/home", uidMappings: ids, gidMappings: ids }];
    // It warns of a namespace together with mappings, which containerd gives it too.
    const { stdout } = await mapped.run(
      "cat /proc/self/uid_map; stat -c %u /home/file /etc/hostname; touch /home/new && stat -c %u /home/new; readlink /proc/self/ns/user",
      { config: { mounts, linux }, pod: { linux } },
    );
    const user = readlinkSync(`/proc/${mapped.pid}/ns/user`);
    expect(stdout.replaceAll(/ +/g, " ")).toBe(` 0 1000000 65536\n0\n0\n0\n${user}\n`);
    expect(statSync(join(data, "new")).uid).toBe(0);
  });

  mappedTest("containers in the network of the node see its /sys, read-only", async () => {
    const linux = { securityContext: inUser(NamespaceMode.NODE) };
    await using mapped = await startRuncPod({
      directory: join(dir.path, "mapped-node"),
      rootfs,
      id: `${marker}-node`,
      cgroupParent,
      sandbox: { netnsPath: "", config: { linux } },
    });
    const script = "readlink /proc/self/ns/net; id -u; grep -c ' /sys sysfs ro' /proc/self/mounts";
    const { stdout } = await mapped.run(script, { config: { linux }, pod: { linux } });
    expect(stdout).toBe(`${readlinkSync("/proc/self/ns/net")}\n0\n1\n`);
  });
});
