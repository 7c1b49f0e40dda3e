import { mkdirSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LinuxContainerResources, NamespaceMode } from "@ctrd/api/cri/runtime/v1/api";
import type { TempDir } from "@ctrd/testkit/fixtures";
import { tempDir } from "@ctrd/testkit/fixtures";
import { defaultSpec, encodeSpec } from "@ctrd/oci";
import { ctx, environment, makeContainer, runcHandler, securedSpec } from "../../test/spec-input.ts";
import { schemaErrors, schemaTest } from "../../test/spec-schema.ts";
import { updatedSpec } from "./index.ts";

let dir: TempDir;
beforeAll(async () => {
  dir = await tempDir();
});
afterAll(() => dir[Symbol.asyncDispose]());

const quiet = ["nosuid", "noexec", "nodev"];
const userns = {
  mode: NamespaceMode.POD,
  uids: [{ hostId: 65_536, containerId: 0, length: 65_536 }],
  gids: [{ hostId: 65_536, containerId: 0, length: 65_536 }],
};

/** Files of a sandbox that exist. */
function sandboxFiles(): { hostname: string; hosts: string; resolvConf: string; shm: string } {
  const [names, hosts, resolvConf, shm] = ["hostname", "hosts", "resolv.conf", "shm"].map((name) =>
    join(dir.path, name),
  );
  for (const file of [names, hosts, resolvConf]) writeFileSync(file ?? "", "");
  mkdirSync(shm ?? "", { recursive: true });
  return { hostname: names ?? "", hosts: hosts ?? "", resolvConf: resolvConf ?? "", shm: shm ?? "" };
}

test("the whole spec of a container as kubelet asks for it", async () => {
  const files = sandboxFiles();
  const data = join(dir.path, "data");
  const { spec, volumes, processLabel } = await makeContainer({
    sandbox: { id: "sandbox1", pid: 1234, processLabel: "", files },
    image: { Env: ["A=image", "B=image"], Entrypoint: ["/entry"], Cmd: ["cmd"], WorkingDir: "work", User: "1000:2000" },
    config: {
      args: ["arg"],
      envs: [{ key: "B", value: Buffer.from("pod") }],
      tty: true,
      mounts: [{ containerPath: "/data", hostPath: data, readonly: true }],
      linux: {
        resources: {
          cpuShares: 512n,
          cpuQuota: 50_000n,
          cpuPeriod: 100_000n,
          memoryLimitInBytes: 1n << 26n,
          oomScoreAdj: 900n,
        },
        securityContext: {
          capabilities: { addCapabilities: ["NET_ADMIN"], dropCapabilities: ["ALL"] },
          noNewPrivs: true,
          readonlyRootfs: true,
          maskedPaths: ["/proc/kcore", "/sys/devices/virtual/powercap"],
          readonlyPaths: ["/proc/sys"],
        },
      },
    },
    pod: { linux: { cgroupParent: "/kubepods/pod1" } },
  });
  const bind = (destination: string, source: string, access = "ro"): object => ({
    destination,
    type: "bind",
    source,
    options: ["rbind", "rprivate", access],
  });
  const capabilities = ["CAP_NET_ADMIN"];
  expect(volumes).toEqual([]);
  expect(processLabel).toBe("");
  expect(spec).toEqual({
    ociVersion: "1.2.1",
    process: {
      terminal: true,
      user: { uid: 1000, gid: 2000, additionalGids: [2000] },
      args: ["/entry", "arg"],
      env: [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TERM=xterm",
        "HOSTNAME=web-host",
        "A=image",
        "B=pod",
      ],
      cwd: "/work",
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: true,
      oomScoreAdj: 900,
    },
    root: { path: "rootfs", readonly: true },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: quiet },
      {
        destination: "/dev",
        type: "tmpfs",
        source: "tmpfs",
        options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
      },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
      },
      { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: quiet },
      { destination: "/sys", type: "sysfs", source: "sysfs", options: [...quiet, "ro"] },
      { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [...quiet, "relatime", "ro"] },
      bind("/data", data),
      bind("/etc/hostname", files.hostname),
      bind("/etc/hosts", files.hosts),
      bind("/etc/resolv.conf", files.resolvConf),
      bind("/dev/shm", files.shm, "rw"),
    ],
    annotations: {
      "io.kubernetes.cri.sandbox-id": "sandbox1",
      "io.kubernetes.cri.sandbox-namespace": "default",
      "io.kubernetes.cri.sandbox-uid": "uid-1",
      "io.kubernetes.cri.sandbox-name": "web",
      "io.kubernetes.cri.container-name": "app",
      "io.kubernetes.cri.image-name": "docker.io/library/app:1",
      "io.kubernetes.cri.container-type": "container",
    },
    linux: {
      resources: {
        devices: defaultSpec("k8s.io", "x").linux?.resources?.devices,
        cpu: { shares: 512n, quota: 50_000n, period: 100_000n },
        memory: { limit: 1n << 26n, swap: 1n << 26n },
      },
      cgroupsPath: "/kubepods/pod1/container1",
      namespaces: [
        { type: "pid", path: "/proc/1234/ns/pid" },
        { type: "ipc", path: "/proc/1234/ns/ipc" },
        { type: "uts", path: "/proc/1234/ns/uts" },
        { type: "mount" },
        { type: "network", path: "/proc/1234/ns/net" },
      ],
      maskedPaths: ["/proc/kcore", "/sys/devices/virtual/powercap"],
      readonlyPaths: ["/proc/sys"],
    },
  });
});

schemaTest("the schema of the runtime specification holds", async () => {
  const namespaceOptions = { usernsOptions: userns };
  const full = await makeContainer({
    sandbox: { id: "sandbox1", pid: 1234, processLabel: "", files: sandboxFiles() },
    volumes: ["/vol"],
    volumesDirectory: join(dir.path, "volumes"),
    pod: { linux: { securityContext: { namespaceOptions } } },
    config: {
      devices: [{ hostPath: "/dev/null", containerPath: "/dev/x", permissions: "r" }],
      linux: {
        resources: {
          memoryLimitInBytes: (1n << 62n) + 1n,
          memorySwapLimitInBytes: -1n,
          cpusetCpus: "0",
          oomScoreAdj: -998n,
        },
        securityContext: { namespaceOptions, seccomp: { profileType: 0 } },
      },
    },
  });
  expect(schemaErrors(full.spec)).toEqual([]);
  const privileged = { privileged: true };
  const pod = { linux: { securityContext: privileged } };
  expect(schemaErrors(await securedSpec(privileged, { pod }))).toEqual([]);
});

describe("arguments", () => {
  const argsOf = async (image: object, config: object): Promise<string[] | undefined> =>
    (await makeContainer({ image, config })).spec.process?.args;
  const both = { Entrypoint: ["entry"], Cmd: ["cmd"] };

  test.each([
    ["of the image", both, {}, ["entry", "cmd"]],
    ["args take the place of the command", both, { args: ["a"] }, ["entry", "a"]],
    ["command takes the place of both", both, { command: ["c"] }, ["c"]],
    ["both of the request", both, { command: ["c"], args: ["a"] }, ["c", "a"]],
    ["an entry point of one empty word is none", { Entrypoint: [""], Cmd: ["cmd"] }, {}, ["cmd"]],
  ])("%s", async (_name, image, config, expected) => {
    expect(await argsOf(image, config)).toEqual(expected);
  });

  test("none at all is refused", async () => {
    await expect(argsOf({}, {})).rejects.toThrow("no command specified");
  });
});

test("environment, directory and terminal of the request win; the host's name stands for a pod without one", async () => {
  const { spec } = await makeContainer({
    image: { Cmd: ["sh"], Env: ["PATH=/bin", "TERM=dumb"], WorkingDir: "/image" },
    config: { tty: true, workingDir: "/asked", envs: [{ key: "HOSTNAME", value: Buffer.from("x=y") }] },
    pod: { hostname: "" },
  });
  expect(spec.process).toMatchObject({ cwd: "/asked", terminal: true });
  expect(spec.process?.env).toEqual(["PATH=/bin", "TERM=dumb", "HOSTNAME=x=y"]);
  const plain = (await makeContainer({ pod: { hostname: "" } })).spec.process;
  expect(plain?.env).toContain(`HOSTNAME=${hostname()}`);
  expect(plain?.cwd).toBe("/");
  await expect(makeContainer({ config: { workingDir: "relative" } })).rejects.toThrow("not an absolute path");
  await expect(makeContainer({ config: { envs: [{ key: "", value: Buffer.from("x") }] } })).rejects.toThrow(
    "malformed",
  );
});

describe("namespaces", () => {
  const pidPath = async (namespaceOptions: object, targetPid?: number): Promise<string | undefined> =>
    (await securedSpec({ namespaceOptions }, targetPid === undefined ? {} : { targetPid })).linux?.namespaces?.find(
      ({ type }) => type === "pid",
    )?.path;

  test("processes: the pod's, its own, the node's by the pod, another container's", async () => {
    expect(await pidPath({ pid: NamespaceMode.POD })).toBe("/proc/1234/ns/pid");
    expect(await pidPath({ pid: NamespaceMode.CONTAINER })).toBeUndefined();
    expect(await pidPath({ pid: NamespaceMode.NODE })).toBe("/proc/1234/ns/pid");
    expect(await pidPath({ pid: NamespaceMode.TARGET, targetId: "other" }, 77)).toBe("/proc/77/ns/pid");
    await expect(pidPath({ pid: NamespaceMode.TARGET, targetId: "other" })).rejects.toThrow('container "other"');
  });

  test("a cgroup namespace with cgroup v2, but not when privileged", async () => {
    const env = { host: { cgroup2: true } };
    const types = async (privileged: boolean): Promise<(string | undefined)[] | undefined> =>
      (
        await securedSpec({ privileged }, { env, pod: { linux: { securityContext: { privileged: true } } } })
      ).linux?.namespaces?.map(({ type }) => type);
    expect(await types(false)).toContain("cgroup");
    expect(await types(true)).not.toContain("cgroup");
  });

  test("a user namespace is that of the pod, with mapped mounts, and must be the same", async () => {
    const files = sandboxFiles();
    const namespaceOptions = { usernsOptions: userns };
    const pod = { linux: { securityContext: { namespaceOptions } } };
    const spec = await securedSpec(
      { namespaceOptions },
      {
        pod,
        sandbox: { id: "sandbox1", pid: 1234, processLabel: "", files },
        config: {
          mounts: [{ containerPath: "/m", hostPath: dir.path, uidMappings: userns.uids, gidMappings: userns.gids }],
        },
      },
    );
    const mapping = [{ containerID: 0, hostID: 65_536, size: 65_536 }];
    expect(spec.linux).toMatchObject({ uidMappings: mapping, gidMappings: mapping });
    expect(spec.linux?.namespaces).toContainEqual({ type: "user", path: "/proc/1234/ns/user" });
    const mapped = spec.mounts
      ?.filter(({ uidMappings }) => uidMappings !== undefined)
      .map(({ destination }) => destination);
    expect(mapped).toEqual(["/m", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"]);
    expect(spec.mounts?.find(({ destination }) => destination === "/m")).toMatchObject({
      uidMappings: mapping,
      gidMappings: mapping,
    });

    await expect(securedSpec({ namespaceOptions })).rejects.toThrow("not that of its pod");
    await expect(securedSpec({}, { pod })).rejects.toThrow("not that of its pod");
  });

  test("a user namespace in the node's network binds the node's /sys", async () => {
    const namespaceOptions = { network: NamespaceMode.NODE, usernsOptions: userns };
    const spec = await securedSpec({ namespaceOptions }, { pod: { linux: { securityContext: { namespaceOptions } } } });
    expect(spec.mounts?.filter(({ destination }) => destination === "/sys")).toEqual([
      { destination: "/sys", type: "bind", source: "/sys", options: ["rbind", "rro", "nosuid", "nodev", "noexec"] },
    ]);
  });
});

describe("resources", () => {
  const resourcesOf = async (resources: object, env = {}): Promise<object | undefined> =>
    (await makeContainer({ config: { linux: { resources } }, env })).spec.linux?.resources;

  test("swap: that of memory, unless it is said or cannot be limited", async () => {
    expect(await resourcesOf({ memoryLimitInBytes: 100n })).toMatchObject({ memory: { limit: 100n, swap: 100n } });
    expect(await resourcesOf({ memoryLimitInBytes: 100n, memorySwapLimitInBytes: 300n })).toMatchObject({
      memory: { limit: 100n, swap: 300n },
    });
    const host = { swapLimit: false };
    expect(await resourcesOf({ memoryLimitInBytes: 100n }, { host })).toMatchObject({ memory: { limit: 100n } });
    expect(await resourcesOf({}, { host })).toMatchObject({ memory: {}, cpu: {} });
  });

  test("cpuset, files of cgroup v2, huge pages", async () => {
    expect(
      await resourcesOf(
        {
          cpusetCpus: "0-1",
          cpusetMems: "0",
          unified: new Map([["memory.high", "1000"]]),
          hugepageLimits: [{ pageSize: "2MB", limit: 4_194_304n }],
        },
        { host: { hugetlb: true }, settings: { disable_hugetlb_controller: false } },
      ),
    ).toMatchObject({
      cpu: { cpus: "0-1", mems: "0" },
      unified: { "memory.high": "1000" },
      hugepageLimits: [{ pageSize: "2MB", limit: 4_194_304n }],
    });
  });

  test("limits of huge pages without that cgroup: left out, or refused by configuration", async () => {
    const hugepages = { hugepageLimits: [{ pageSize: "2MB", limit: 0n }] };
    const settings = { disable_hugetlb_controller: false };
    expect(await resourcesOf(hugepages, { settings })).not.toHaveProperty("hugepageLimits");
    const strict = { settings: { ...settings, tolerate_missing_hugetlb_controller: false } };
    await expect(resourcesOf(hugepages, strict)).rejects.toThrow("no hugetlb cgroup");
    expect(await resourcesOf(hugepages, { host: { hugetlb: true } })).not.toHaveProperty("hugepageLimits");
  });

  test("wrong numbers are refused by name", async () => {
    await expect(resourcesOf({ cpuShares: -1n })).rejects.toThrow("cpu shares -1");
    await expect(resourcesOf({ memoryLimitInBytes: 2n, memorySwapLimitInBytes: 1n })).rejects.toThrow(
      "less than memory",
    );
    await expect(resourcesOf({ oomScoreAdj: 1001n })).rejects.toThrow("OOM score 1001");
    await expect(resourcesOf({ cpusetCpus: "a" })).rejects.toThrow('"a"');
  });

  test("the OOM score is not below the daemon's own when the configuration restricts it", async () => {
    const scoreOf = async (restrict: boolean): Promise<number | undefined> =>
      (
        await makeContainer({
          config: { linux: { resources: { oomScoreAdj: -1000n } } },
          env: { settings: { restrict_oom_score_adj: restrict } },
        })
      ).spec.process?.oomScoreAdj;
    expect(await scoreOf(false)).toBe(-1000);
    expect(await scoreOf(true)).toBeGreaterThan(-1000);
  });

  test("an update changes what it names", async () => {
    const { spec } = await makeContainer({
      config: { linux: { resources: { cpuShares: 512n, memoryLimitInBytes: 100n } } },
    });
    const before = structuredClone(spec);
    const resources = LinuxContainerResources.create({ cpuQuota: 1000n, memoryLimitInBytes: 200n });
    const updated = await updatedSpec(ctx, environment(), { id: "container1", spec }, resources);
    expect(updated.linux?.resources).toMatchObject({
      cpu: { shares: 512n, quota: 1000n },
      memory: { limit: 200n, swap: 200n },
    });
    expect(spec).toEqual(before);
  });
});

test("classes of resources are refused by name, or left out by configuration", async () => {
  const annotations = new Map([["rdt.resources.beta.kubernetes.io/container.app", "gold"]]);
  const blockio = new Map([["io.kubernetes.cri.blockio-class", "slow"]]);
  await expect(makeContainer({ pod: { annotations } })).rejects.toThrow(/RDT.*"app".*"gold".*ignore_rdt/);
  await expect(makeContainer({ config: { annotations: blockio } })).rejects.toThrow(/blockio.*"slow"/);
  const containerd = { ignore_blockio_not_enabled_errors: true, ignore_rdt_not_enabled_errors: true };
  const { spec } = await makeContainer({
    pod: { annotations },
    config: { annotations: blockio },
    env: { settings: { containerd } },
  });
  expect(spec.linux).not.toHaveProperty("intelRdt");
});

test("annotations of pod and container by the patterns of the handler", async () => {
  const { spec } = await makeContainer({
    pod: {
      annotations: new Map([
        ["pod.io/a", "1"],
        ["other", "1"],
      ]),
    },
    config: {
      annotations: new Map([
        ["ctr.io/a", "2"],
        ["other", "2"],
      ]),
    },
    handler: { ...runcHandler, pod_annotations: ["pod.io/*"], container_annotations: ["ctr.io/*"] },
  });
  expect(spec.annotations).toMatchObject({ "pod.io/a": "1", "ctr.io/a": "2" });
  expect(spec.annotations).not.toHaveProperty("other");
});

describe("base_runtime_spec", () => {
  const handlerOf = (file: string): typeof runcHandler => ({ ...runcHandler, base_runtime_spec: file });

  test("is begun with: its limits and filter stay, what pods have is changed", async () => {
    const file = join(dir.path, "base.json");
    const base = defaultSpec("other", "other");
    base.process = {
      ...base.process,
      user: { uid: 5, gid: 5 },
      cwd: "/base",
      rlimits: [{ type: "RLIMIT_CORE", hard: 1, soft: 1 }],
    };
    base.process.capabilities = { inheritable: ["CAP_CHOWN"], bounding: ["CAP_CHOWN"] };
    base.linux = { ...base.linux, seccomp: { defaultAction: "SCMP_ACT_LOG" } };
    base.annotations = { base: "yes" };
    writeFileSync(file, encodeSpec(base));
    const { spec } = await makeContainer({ handler: handlerOf(file) });
    expect(spec.process).toMatchObject({
      user: { uid: 0, gid: 0 },
      cwd: "/base",
      rlimits: [{ type: "RLIMIT_CORE", hard: 1, soft: 1 }],
      args: ["sh"],
    });
    expect(spec.linux).toMatchObject({ seccomp: { defaultAction: "SCMP_ACT_LOG" }, cgroupsPath: "/k8s.io/container1" });
    expect(spec.annotations).toMatchObject({ base: "yes", "io.kubernetes.cri.container-type": "container" });
    // GO-2024-2846
    expect(spec.process?.capabilities).toEqual({ bounding: ["CAP_CHOWN"] });
  });

  test("a file that is missing or no spec is named", async () => {
    const file = join(dir.path, "bad.json");
    await expect(makeContainer({ handler: handlerOf("/nowhere.json") })).rejects.toThrow(
      'base_runtime_spec "/nowhere.json"',
    );
    writeFileSync(file, "{}");
    await expect(makeContainer({ handler: handlerOf(file) })).rejects.toThrow("no ociVersion");
  });
});

test("a key that objects have by themselves is only a key", async () => {
  const annotations = new Map([["__proto__", "polluted"]]);
  const handler = { ...runcHandler, container_annotations: ["*"] };
  const { spec } = await makeContainer({ config: { annotations }, handler });
  expect(Buffer.from(encodeSpec(spec)).toString()).toContain('"__proto__":"polluted"');
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
});
