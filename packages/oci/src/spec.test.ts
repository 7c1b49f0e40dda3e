import { expect, test } from "vitest";
import { schemaErrors, schemaTest } from "../test/schema.ts";
import { specContext } from "../test/context.ts";
import type { SpecOption } from "./index.ts";
import {
  bindMount,
  compose,
  createSpec,
  decodeSpec,
  encodeSpec,
  rlimitInfinity,
  tmpfsMount,
  withAddedCapabilities,
  withAnnotations,
  withApparmorProfile,
  withBaseSpec,
  withBlockIo,
  withCapabilities,
  withCgroup,
  withCgroupParent,
  withCpu,
  withCpuLimit,
  withCwd,
  withDefaultSeccomp,
  withDevice,
  withDomainname,
  withDroppedCapabilities,
  withEnv,
  withHooks,
  withHostHosts,
  withHostLocaltime,
  withHostname,
  withHostNamespace,
  withHostResolvConf,
  withHugepageLimit,
  withMaskedPaths,
  withMemory,
  withMounts,
  withNamespace,
  withNoNewPrivileges,
  withOomScoreAdj,
  withoutMounts,
  withPidsLimit,
  withPrivileged,
  withProcessArgs,
  withReadonlyPaths,
  withReadonlyRoot,
  withRlimit,
  withRootfsPropagation,
  withRootPath,
  withSelinuxLabel,
  withShmSize,
  withSysctls,
  withTty,
  withUmask,
  withUnifiedResources,
  withUserIds,
  withUserNamespace,
} from "./index.ts";

const everything: readonly SpecOption[] = [
  withProcessArgs("sleep", "1000"),
  withEnv("A=1", "B=2"),
  withCwd("/tmp"),
  withTty({ height: 24, width: 80 }),
  withHostname("h"),
  withDomainname("d.example"),
  withNoNewPrivileges(false),
  withOomScoreAdj(-998),
  withRlimit("nofile", 100, 200),
  withRlimit("RLIMIT_MEMLOCK", rlimitInfinity),
  withUserIds(1000, 1000),
  withUmask(0o27),
  withMounts(
    bindMount("/srv", "/srv", { readonly: true, propagation: "rslave", options: ["noexec"] }),
    bindMount("/srv", "/one", { recursive: false }),
    tmpfsMount("/scratch", { size: 1 << 20, mode: 0o1777 }),
  ),
  withHostHosts(),
  withHostResolvConf(),
  withHostLocaltime(),
  withShmSize(1_000_000),
  withReadonlyRoot(),
  withRootPath("/rootfs"),
  withRootfsPropagation("shared"),
  withHostNamespace("network"),
  withNamespace("ipc", "/proc/1/ns/ipc"),
  withNamespace("cgroup"),
  withUserNamespace(
    [{ containerID: 0, hostID: 100_000, size: 65_536 }],
    [{ containerID: 0, hostID: 100_000, size: 65_536 }],
  ),
  withAddedCapabilities("SYS_ADMIN"),
  withDroppedCapabilities("cap_kill"),
  withDefaultSeccomp(),
  withApparmorProfile("p"),
  withSelinuxLabel("a:b:c:s0", "a:b:d:s0"),
  withDevice({ hostPath: "/dev/null", containerPath: "/dev/nil", permissions: "r" }),
  withCpu({ shares: 512, cpus: "0-1", mems: "0" }),
  withCpuLimit(0.5),
  withMemory({ limit: 64 << 20, swap: -1, reservation: 32 << 20 }),
  withPidsLimit(100),
  withBlockIo({ weight: 500, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1 << 20 }] }),
  withHugepageLimit("2MB", 4 << 20),
  withUnifiedResources({ "memory.high": "1000000" }),
  withSysctls({ "net.ipv4.ip_forward": "1" }),
  withAnnotations({ "example.com/a": "b" }),
  withCgroup("/some/where"),
  withHooks("createRuntime", { path: "/bin/true", args: ["true"], env: ["A=1"], timeout: 5 }),
];

schemaTest("the default spec fits the official schema", async () => {
  expect(schemaErrors(await createSpec(specContext(), withProcessArgs("sh")))).toEqual([]);
});

schemaTest("a spec made with every option fits the official schema", async () => {
  expect(schemaErrors(await createSpec(specContext(), ...everything))).toEqual([]);
});

schemaTest("a privileged spec fits the official schema", async () => {
  expect(schemaErrors(await createSpec(specContext(), withProcessArgs("sh"), withPrivileged()))).toEqual([]);
});

schemaTest("the official schema refuses a wrong spec, so that it is really applied", async () => {
  const spec = await createSpec(specContext(), withProcessArgs("sh"));
  delete (spec.process as { cwd?: string }).cwd;
  expect(schemaErrors(spec)).toEqual([expect.stringContaining("cwd")]);
});

test("each option changes what it is for", async () => {
  const spec = await createSpec(specContext(), ...everything);
  expect(spec).toMatchObject({
    hostname: "h",
    domainname: "d.example",
    root: { path: "/rootfs", readonly: true },
    process: {
      terminal: true,
      consoleSize: { height: 24, width: 80 },
      user: { uid: 1000, gid: 1000, umask: 0o27, additionalGids: [1000] },
      args: ["sleep", "1000"],
      env: ["A=1", "B=2", "TERM=xterm"],
      cwd: "/tmp",
      noNewPrivileges: false,
      oomScoreAdj: -998,
      rlimits: [
        { type: "RLIMIT_NOFILE", soft: 100, hard: 200 },
        { type: "RLIMIT_MEMLOCK", soft: rlimitInfinity, hard: rlimitInfinity },
      ],
      apparmorProfile: "p",
      selinuxLabel: "a:b:c:s0",
    },
    linux: {
      cgroupsPath: "/some/where",
      mountLabel: "a:b:d:s0",
      rootfsPropagation: "shared",
      sysctl: { "net.ipv4.ip_forward": "1" },
      resources: {
        cpu: { shares: 512, cpus: "0-1", mems: "0", quota: 50_000, period: 100_000 },
        memory: { limit: 64 << 20, swap: -1, reservation: 32 << 20 },
        pids: { limit: 100 },
        hugepageLimits: [{ pageSize: "2MB", limit: 4 << 20 }],
        unified: { "memory.high": "1000000" },
      },
    },
  });
  expect(spec.linux?.namespaces).toEqual([
    { type: "pid" },
    { type: "ipc", path: "/proc/1/ns/ipc" },
    { type: "uts" },
    { type: "mount" },
    { type: "cgroup" },
    { type: "user" },
  ]);
  expect(spec.linux?.devices).toMatchObject([{ path: "/dev/nil", type: "c", major: 1, minor: 3 }]);
  expect(spec.linux?.resources?.devices?.at(-1)).toEqual({ allow: true, type: "c", major: 1, minor: 3, access: "r" });
  expect(spec.mounts?.find((mount) => mount.destination === "/dev/shm")?.options?.at(-1)).toBe("size=977k");
  expect(spec.mounts?.slice(7).map((mount) => [mount.destination, mount.options])).toEqual([
    ["/srv", ["rbind", "ro", "rslave", "noexec"]],
    ["/one", ["bind", "rw"]],
    ["/scratch", ["nosuid", "noexec", "nodev", "mode=1777", "size=1048576"]],
    ["/etc/hosts", ["rbind", "ro"]],
    ["/etc/resolv.conf", ["rbind", "ro"]],
    ["/etc/localtime", ["rbind", "ro"]],
  ]);
});

test("options are applied in their order and composed", async () => {
  const option = compose(withEnv("A=1", "B=1"), withEnv("A", "C=1"), withoutMounts("/run/", "/dev/mqueue"));
  const spec = await createSpec(specContext(), option, withCgroupParent("/pods"), withTty());
  expect(spec.process?.env).toEqual(["B=1", "C=1", "TERM=xterm"]);
  expect(spec.mounts?.map((mount) => mount.destination)).toEqual(["/proc", "/dev", "/dev/pts", "/dev/shm", "/sys"]);
  expect(spec.linux?.cgroupsPath).toBe("/pods/c1");
  const other = await createSpec(
    specContext(),
    withCgroupParent("kube.slice", { systemd: true }),
    withEnv("TERM=vt100"),
    withTty(),
  );
  expect(other.linux?.cgroupsPath).toBe("kube.slice:ctrd:c1");
  expect(other.process?.env).toEqual(["TERM=vt100"]);
  expect((await createSpec(specContext(), withCgroup(""))).linux).not.toHaveProperty("cgroupsPath");
});

test("an aborted signal ends the making of a spec", async () => {
  const controller = new AbortController();
  const context = { ...specContext(), signal: controller.signal };
  const stop: SpecOption = () => controller.abort(new Error("enough"));
  await expect(createSpec(context, stop, withEnv("A=1"))).rejects.toThrow("enough");
});

test("a spec of the caller replaces the default one and is not changed itself", async () => {
  const base = { ociVersion: "1.0.2", process: { user: { uid: 5, gid: 5 }, cwd: "/x" } };
  const spec = await createSpec(specContext(), withBaseSpec(base), withEnv("A=1"));
  expect(spec).toEqual({ ociVersion: "1.0.2", process: { user: { uid: 5, gid: 5 }, cwd: "/x", env: ["A=1"] } });
  expect(base.process).not.toHaveProperty("env");
});

test("GO-2024-2846: the inheritable capability set is empty whatever the options do", async () => {
  const inherited: SpecOption = (_context, spec) => {
    spec.process = {
      ...spec.process,
      user: { uid: 0, gid: 0 },
      cwd: "/",
      capabilities: { inheritable: ["CAP_CHOWN"], ambient: ["CAP_CHOWN"] },
    };
  };
  for (const options of [
    [],
    everything,
    [withPrivileged({ hostDevices: false })],
    [inherited],
    [inherited, withCapabilities("ALL")],
  ]) {
    const { capabilities } = (await createSpec(specContext(), ...options)).process ?? {};
    expect(capabilities).toBeDefined();
    expect(capabilities?.inheritable ?? []).toEqual([]);
    expect(capabilities?.ambient ?? []).toEqual([]);
  }
});

test("GO-2023-2412: /sys/devices/virtual/powercap is masked", async () => {
  const spec = await createSpec(specContext());
  expect(spec.linux?.maskedPaths).toContain("/sys/devices/virtual/powercap");
});

test("capabilities are added, dropped and set", async () => {
  const of = async (...options: SpecOption[]): Promise<string[]> => {
    const { bounding, effective, permitted } =
      (await createSpec(specContext(), ...options)).process?.capabilities ?? {};
    expect(effective).toEqual(bounding);
    expect(permitted).toEqual(bounding);
    return bounding ?? [];
  };
  expect(await of()).toHaveLength(14);
  expect(await of(withDroppedCapabilities("ALL"), withAddedCapabilities("net_bind_service", "CAP_CHOWN"))).toEqual([
    "CAP_NET_BIND_SERVICE",
    "CAP_CHOWN",
  ]);
  expect(await of(withAddedCapabilities("all"), withDroppedCapabilities("SYS_ADMIN"))).not.toContain("CAP_SYS_ADMIN");
  expect(await of(withCapabilities("KILL"))).toEqual(["CAP_KILL"]);
  expect(() => withAddedCapabilities("SYS_EVERYTHING")).toThrow('capability "SYS_EVERYTHING" is unknown');
});

test("numbers beyond 2^53 are exact in both directions", () => {
  const spec = {
    ociVersion: "1.2.1",
    process: { user: { uid: 0, gid: 0 }, cwd: "/", rlimits: [{ type: "RLIMIT_CORE", soft: 5, hard: rlimitInfinity }] },
  };
  const text = Buffer.from(encodeSpec(spec)).toString();
  expect(text).toContain('"hard":18446744073709551615');
  expect(decodeSpec(text)).toEqual(spec);
  expect(() => encodeSpec({ ociVersion: "1", linux: { resources: { pids: { limit: 2 ** 60 } } } })).toThrow(
    "must be a bigint",
  );
  expect(() => decodeSpec("[]")).toThrow("not a JSON object");
});

test("keys of annotations are only keys", async () => {
  const key = JSON.parse('{"__proto__":"x","constructor":"y"}') as Record<string, string>;
  const spec = await createSpec(specContext(), withAnnotations(key), withAnnotations({ a: "b" }));
  expect(JSON.parse(Buffer.from(encodeSpec(spec)).toString()).annotations).toEqual(
    JSON.parse('{"__proto__":"x","constructor":"y","a":"b"}'),
  );
  expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
});

test.each([
  [() => withCwd("tmp"), "not an absolute path"],
  [() => withEnv("=x"), "malformed"],
  [() => withEnv("A=\0"), "malformed"],
  [() => withHostname("a b"), "host name"],
  [() => withOomScoreAdj(1001), "OOM score"],
  [() => withRlimit("nofile", 5, 3), "above the hard one"],
  [() => withRlimit("nofile", -1), "not a whole number"],
  [() => withRlimit("no file", 1), "getrlimit"],
  [() => withUserIds(2 ** 31, 0), "not in 0"],
  [() => withMounts({ destination: "x" }), "not an absolute path"],
  [() => bindMount("srv", "/srv"), "not an absolute path"],
  [() => withNamespace("net" as "network", "x"), "not an absolute path"],
  [() => withUserNamespace([{ containerID: 0, hostID: 2 ** 32 - 1, size: 2 }], []), "32 bits"],
  [() => withCpu({ cpus: "0-" }), "no list"],
  [() => withCpuLimit(0), "at least 0.01"],
  [() => withMemory({ limit: 2 ** 53 }), "not a whole number"],
  [() => withMemory({ limit: 10, swap: 5 }), "less than memory"],
  [() => withBlockIo({ weight: 5 }), "weight"],
  [() => withHugepageLimit("2M", 1), "huge page size"],
  [() => withSysctls({ "a b": "c" }), "kernel parameter"],
  [() => withCgroupParent("/pods", { systemd: true }), "no slice"],
  [() => withMaskedPaths(["x"]), "not an absolute path"],
  [() => withReadonlyPaths(["x"]), "not an absolute path"],
])("a malformed value is refused where it is given (%#)", (make, message) => {
  expect(make).toThrow(message);
});
