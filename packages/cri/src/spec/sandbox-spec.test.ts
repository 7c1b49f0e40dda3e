import { expect, test } from "vitest";
import { NamespaceMode } from "@ctrd/api/cri/runtime/v1/api";
import { schemaErrors, schemaTest } from "../../test/spec-schema.ts";
import { imageConfig, makeSandbox, runcHandler } from "../../test/spec-input.ts";

const capabilities = (
  "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL " +
  "AUDIT_WRITE"
)
  .split(" ")
  .map((name) => `CAP_${name}`);
const quiet = ["nosuid", "noexec", "nodev"];
const node = (userns: object = {}): object => ({
  linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE, ...userns } } },
});
const userns = {
  usernsOptions: {
    mode: NamespaceMode.POD,
    uids: [{ hostId: 65_536, containerId: 0, length: 65_536 }],
    gids: [{ hostId: 65_536, containerId: 0, length: 65_536 }],
  },
};

test("the whole spec of a simple pod", async () => {
  const spec = await makeSandbox({
    config: {
      annotations: new Map([["io.kata.x", "1"]]),
      linux: { cgroupParent: "/kubepods/pod1", resources: { cpuPeriod: 100_000n, memoryLimitInBytes: 1n << 30n } },
    },
    files: { hostname: "/s/hostname", hosts: "/s/hosts", resolvConf: "/s/resolv.conf", shm: "/run/s/shm" },
  });
  const devices = [[1, 3], [1, 8], [1, 7], [5, 0], [1, 5], [1, 9], [5, 1], [136], [5, 2]];
  expect(spec).toEqual({
    ociVersion: "1.2.1",
    process: {
      user: { uid: 0, gid: 0, additionalGids: [0] },
      args: ["/pause"],
      env: ["A=1"],
      cwd: "/",
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      noNewPrivileges: true,
      oomScoreAdj: -998,
    },
    root: { path: "rootfs", readonly: true },
    hostname: "web-host",
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
      {
        destination: "/dev/shm",
        type: "bind",
        source: "/run/s/shm",
        options: ["rbind", "ro", "nosuid", "nodev", "noexec"],
      },
      {
        destination: "/etc/resolv.conf",
        type: "bind",
        source: "/s/resolv.conf",
        options: ["rbind", "ro", "nosuid", "nodev", "noexec"],
      },
    ],
    annotations: {
      "io.kubernetes.cri.sandbox-cpu-period": "100000",
      "io.kubernetes.cri.sandbox-cpu-quota": "0",
      "io.kubernetes.cri.sandbox-cpu-shares": "0",
      "io.kubernetes.cri.sandbox-memory": "1073741824",
      "io.kubernetes.cri.sandbox-id": "sandbox1",
      "io.kubernetes.cri.sandbox-namespace": "default",
      "io.kubernetes.cri.sandbox-uid": "uid-1",
      "io.kubernetes.cri.sandbox-name": "web",
      "io.kubernetes.cri.sandbox-log-directory": "/var/log/pods/web",
      "io.kubernetes.cri.podsandbox.image-name": "registry.k8s.io/pause:3.10.2",
      "io.kubernetes.cri.container-type": "sandbox",
    },
    linux: {
      sysctl: { "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647" },
      resources: {
        devices: [
          { allow: false, access: "rwm" },
          ...devices.map(([major, minor]) => ({
            allow: true,
            type: "c",
            major,
            ...(minor === undefined ? {} : { minor }),
            access: "rwm",
          })),
        ],
        cpu: { shares: 2 },
      },
      cgroupsPath: "/kubepods/pod1/sandbox1",
      namespaces: [
        { type: "pid" },
        { type: "ipc" },
        { type: "uts" },
        { type: "mount" },
        { type: "network", path: "/var/run/netns/cni-1" },
      ],
      maskedPaths: [
        "/proc/acpi",
        "/proc/asound",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
        "/proc/scsi",
      ],
      readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
  });
});

schemaTest("the schema of the runtime specification holds", async () => {
  expect(schemaErrors(await makeSandbox())).toEqual([]);
  expect(schemaErrors(await makeSandbox({ config: node(userns), netnsPath: "" }))).toEqual([]);
});

test("cgroup: a slice is for systemd, and systemd needs a unit without a parent too", async () => {
  const pathOf = async (cgroupParent: string, systemd = false): Promise<string | undefined> =>
    (
      await makeSandbox({
        config: { linux: { cgroupParent } },
        handler: { ...runcHandler, options: { SystemdCgroup: systemd } },
      })
    ).linux?.cgroupsPath;
  expect(await pathOf("/kubepods.slice/kubepods-pod1.slice")).toBe("kubepods-pod1.slice:cri-containerd:sandbox1");
  expect(await pathOf("")).toBe("/k8s.io/sandbox1");
  expect(await pathOf("", true)).toBe(":cri-containerd:sandbox1");
});

test("namespaces of the node: network with host name, processes, IPC with its /dev/shm", async () => {
  const spec = await makeSandbox({
    netnsPath: "",
    config: {
      linux: {
        sysctls: new Map([["kernel.shm_rmid_forced", "1"]]),
        securityContext: {
          namespaceOptions: { network: NamespaceMode.NODE, pid: NamespaceMode.NODE, ipc: NamespaceMode.NODE },
        },
      },
    },
  });
  expect(spec.linux?.namespaces).toEqual([{ type: "mount" }]);
  expect(spec.hostname).toBeUndefined();
  expect(spec.mounts?.find(({ destination }) => destination === "/dev/shm")?.source).toBe("/dev/shm");
  // The parameters of the node's network are not the pod's.
  expect(spec.linux?.sysctl).toEqual({ "kernel.shm_rmid_forced": "1" });
  await expect(makeSandbox({ netnsPath: "" })).rejects.toThrow("the pod has no network namespace");
});

test("sysctls of the request win over those of the configuration", async () => {
  const sysctls = new Map([["net.ipv4.ip_unprivileged_port_start", "80"]]);
  expect((await makeSandbox({ config: { linux: { sysctls } } })).linux?.sysctl).toEqual({
    "net.ipv4.ip_unprivileged_port_start": "80",
    "net.ipv4.ping_group_range": "0 2147483647",
  });
  const settings = { enable_unprivileged_ports: false, enable_unprivileged_icmp: false };
  expect((await makeSandbox({ env: { settings } })).linux?.sysctl).toEqual({});
  expect((await makeSandbox({ env: { host: { userNamespace: true } } })).linux?.sysctl).not.toHaveProperty([
    "net.ipv4.ping_group_range",
  ]);
});

test("a user namespace: its mappings, the pinned one, no groups for ping, the node's /sys with the node's network", async () => {
  const mapping = [{ containerID: 0, hostID: 65_536, size: 65_536 }];
  const own = await makeSandbox({
    usernsPath: "/run/pinned/user",
    config: { linux: { securityContext: { namespaceOptions: userns } } },
  });
  expect(own.linux).toMatchObject({ uidMappings: mapping, gidMappings: mapping });
  expect(own.linux?.namespaces).toContainEqual({ type: "user", path: "/run/pinned/user" });
  expect(own.linux?.sysctl).toEqual({ "net.ipv4.ip_unprivileged_port_start": "0" });

  const shared = await makeSandbox({ netnsPath: "", config: node(userns) });
  expect(shared.linux?.namespaces).toContainEqual({ type: "user" });
  expect(shared.mounts?.filter(({ destination }) => destination === "/sys")).toEqual([
    { destination: "/sys", type: "bind", source: "/sys", options: ["rbind", "rro", "nosuid", "nodev", "noexec"] },
  ]);
});

test.each([
  [
    "two mappings",
    { ...userns.usernsOptions, uids: [...userns.usernsOptions.uids, ...userns.usernsOptions.uids] },
    "2 UID",
  ],
  ["no mapping", { mode: NamespaceMode.POD, uids: [], gids: [] }, "needs UID and GID mappings"],
  ["an empty mapping", { ...userns.usernsOptions, gids: [{ hostId: 1, containerId: 0, length: 0 }] }, "empty GID"],
  ["mappings in the node's", { ...userns.usernsOptions, mode: NamespaceMode.NODE }, "cannot have id mappings"],
  ["another mode", { ...userns.usernsOptions, mode: NamespaceMode.CONTAINER }, "mode 1"],
])("user namespace with %s is refused", async (_name, usernsOptions, message) => {
  const config = { linux: { securityContext: { namespaceOptions: { usernsOptions } } } };
  await expect(makeSandbox({ config })).rejects.toThrow(message);
});

test("user, group and groups of the request, else the user of the image", async () => {
  const asked = await makeSandbox({
    config: {
      linux: {
        securityContext: { runAsUser: { value: 1000n }, runAsGroup: { value: 2000n }, supplementalGroups: [3000n] },
      },
    },
  });
  expect(asked.process?.user).toEqual({ uid: 1000, gid: 2000, additionalGids: [2000, 3000] });
  const image = {
    name: "pause",
    config: imageConfig({ Entrypoint: ["/pause"], User: "65535:65535", WorkingDir: "/w" }),
  };
  const fromImage = await makeSandbox({ image });
  expect(fromImage.process?.user).toEqual({ uid: 65_535, gid: 65_535, additionalGids: [65_535] });
  expect(fromImage.process?.cwd).toBe("/w");
  const config = { linux: { securityContext: { runAsGroup: { value: 1n } } } };
  await expect(makeSandbox({ config })).rejects.toThrow("group 1 is given without a user");
});

test("seccomp: what is asked for, else by configuration, never when privileged", async () => {
  const sandboxFilter = async (securityContext: object, settings = {}): Promise<boolean> =>
    (await makeSandbox({ config: { linux: { securityContext } }, env: { settings } })).linux?.seccomp !== undefined;
  expect(await sandboxFilter({ seccomp: { profileType: 0 } })).toBe(true);
  expect(await sandboxFilter({ seccomp: { profileType: 1 } })).toBe(false);
  expect(await sandboxFilter({})).toBe(false);
  expect(await sandboxFilter({}, { unset_seccomp_profile: "runtime/default" })).toBe(true);
  expect(await sandboxFilter({ privileged: true, seccomp: { profileType: 0 } })).toBe(false);
});

test("the /sys of a privileged pod can be written, which decides for its containers", async () => {
  const optionOf = async (privileged: boolean): Promise<string | undefined> => {
    const spec = await makeSandbox({ config: { linux: { securityContext: { privileged } } } });
    return spec.mounts?.find(({ destination }) => destination === "/sys")?.options?.at(-1);
  };
  expect(await optionOf(false)).toBe("ro");
  expect(await optionOf(true)).toBe("rw");
});

test("annotations of the pod reach the runtime by the patterns of the handler", async () => {
  const annotations = new Map([
    ["io.kata.config/hypervisor", "clh"],
    ["io.kata", "no"],
    ["nvidia.com/gpu", "1"],
    ["xa", "1"],
    ["xd", "2"],
    ["io.kubernetes.cri.sandbox-id", "forged"],
  ]);
  const passed = async (...patterns: string[]): Promise<Record<string, string>> => {
    const spec = await makeSandbox({ config: { annotations }, handler: { ...runcHandler, pod_annotations: patterns } });
    return Object.fromEntries(
      Object.entries(spec.annotations ?? {}).filter(([key]) => !key.startsWith("io.kubernetes")),
    );
  };
  expect(await passed()).toEqual({});
  expect(await passed("io.kata*")).toEqual({ "io.kata": "no" });
  expect(await passed("io.kata*/*", "nvidia.com/?pu")).toEqual({
    "io.kata.config/hypervisor": "clh",
    "nvidia.com/gpu": "1",
  });
  expect(await passed("x[^b-d]", "x[")).toEqual({ xa: "1" });
  expect(await passed(String.raw`io\.kata`, "*/g*u*")).toEqual({ "io.kata": "no", "nvidia.com/gpu": "1" });
  const spec = await makeSandbox({ config: { annotations }, handler: { ...runcHandler, pod_annotations: ["*"] } });
  expect(spec.annotations?.["io.kubernetes.cri.sandbox-id"]).toBe("sandbox1");
});

test("an image that says what to run is needed", async () => {
  await expect(makeSandbox({ image: { name: "empty", config: imageConfig({}) } })).rejects.toThrow(
    "neither an entry point",
  );
});
