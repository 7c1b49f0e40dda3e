import { ContainerAdjustment, IOPrioClass, LinuxResources, LinuxSchedulerPolicy } from "@ctrd/api/nri/v1alpha1/api";
import type { Spec } from "@ctrd/oci";
import { describe, expect, it } from "vitest";
import { adjustedSpec } from "./adjusted-spec.ts";
import { nriResources, withNriResources } from "./resources.ts";

const base: Spec = {
  ociVersion: "1.2.1",
  process: {
    user: { uid: 0, gid: 0 },
    cwd: "/",
    args: ["a"],
    env: ["PATH=/bin", "X=1=2", "Y="],
    rlimits: [
      { type: "RLIMIT_CORE", hard: 1, soft: 1 },
      { type: "RLIMIT_NOFILE", hard: 5, soft: 5 },
    ],
  },
  mounts: [
    { destination: "/proc", type: "proc", source: "proc" },
    { destination: "/a/b", type: "bind", source: "/1", options: ["ro"] },
  ],
  annotations: { keep: "1", drop: "2" },
  hooks: { poststop: [{ path: "/first" }] },
  linux: {
    namespaces: [{ type: "pid" }, { type: "network", path: "/n" }],
    devices: [{ path: "/dev/old", type: "c", major: 1, minor: 1 }],
    sysctl: { "net.a": "1" },
    resources: { devices: [{ allow: false, access: "rwm" }], memory: { limit: 5, swap: 9 }, cpu: { cpus: "0" } },
  },
};

const adjust = (parts: Parameters<typeof ContainerAdjustment.create>[0]): Spec =>
  adjustedSpec(base, ContainerAdjustment.create(parts));

describe("an adjustment", () => {
  it("of nothing changes nothing, and never the spec that was given", () => {
    const before = structuredClone(base);
    expect(adjust({ linux: {} })).toEqual(base);
    adjust({ env: [{ key: "X", value: "9" }], linux: { sysctl: new Map([["net.a", "2"]]) } });
    expect(base).toEqual(before);
  });

  it("sets and removes by key: variables, annotations, mounts, devices, namespaces, sysctls", () => {
    const spec = adjust({
      env: [{ key: "-Y" }, { key: "X", value: "new=1" }, { key: "Z", value: "z" }],
      annotations: new Map([
        ["-drop", ""],
        ["add", "3"],
      ]),
      mounts: [
        { destination: "-/proc" },
        { destination: "/a", type: "tmpfs", source: "tmpfs" },
        { destination: "/a/b/c", type: "bind", source: "/2", options: ["rw"] },
      ],
      linux: {
        devices: [{ path: "-/dev/old" }, { path: "/dev/new", type: "b", major: 7n, minor: 0n, uid: { value: 3 } }],
        namespaces: [{ type: "-pid" }, { type: "network", path: "/other" }],
        sysctl: new Map([
          ["-net.a", ""],
          ["net.b", "2"],
        ]),
      },
    });
    expect(spec.process?.env).toEqual(["PATH=/bin", "X=new=1", "Z=z"]);
    expect(spec.annotations).toEqual({ keep: "1", add: "3" });
    expect(spec.mounts?.map(({ destination }) => destination)).toEqual(["/a", "/a/b", "/a/b/c"]);
    expect(spec.linux?.devices).toEqual([{ path: "/dev/new", type: "b", major: 7, minor: 0, uid: 3 }]);
    expect(spec.linux?.resources?.devices?.at(-1)).toEqual({
      allow: true,
      type: "b",
      major: 7,
      minor: 0,
      access: "rwm",
    });
    expect(spec.linux?.namespaces).toEqual([{ type: "network", path: "/other" }]);
    expect(spec.linux?.sysctl).toEqual({ "net.b": "2" });
  });

  it("sets what there is one of", () => {
    const spec = adjust({
      args: ["b", "c"],
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 7n, soft: 6n }],
      hooks: { poststop: [{ path: "/second", args: ["x"], timeout: { value: 3n } }], prestart: [{ path: "/pre" }] },
      linux: {
        cgroupsPath: "/other",
        oomScoreAdj: { value: -5n },
        ioPriority: { class: IOPrioClass.IOPRIO_CLASS_BE, priority: 4 },
        scheduler: { policy: LinuxSchedulerPolicy.SCHED_BATCH, nice: 3 },
        seccompPolicy: { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["mount"], action: "SCMP_ACT_ERRNO" }] },
        rdt: { closId: { value: "gold" } },
      },
    });
    expect(spec.process?.args).toEqual(["b", "c"]);
    expect(spec.process?.rlimits?.map(({ type, soft }) => [type, soft])).toEqual([
      ["RLIMIT_CORE", 1],
      ["RLIMIT_NOFILE", 6n],
    ]);
    expect(spec.hooks?.poststop).toEqual([{ path: "/first" }, { path: "/second", args: ["x"], env: [], timeout: 3 }]);
    expect(spec.hooks?.prestart).toEqual([{ path: "/pre", args: [], env: [] }]);
    expect(spec.linux?.cgroupsPath).toBe("/other");
    expect(spec.process?.oomScoreAdj).toBe(-5);
    expect(spec.process?.ioPriority).toEqual({ class: "IOPRIO_CLASS_BE", priority: 4 });
    expect(spec.process?.scheduler).toMatchObject({ policy: "SCHED_BATCH", nice: 3 });
    expect(spec.linux?.seccomp?.syscalls).toEqual([{ names: ["mount"], action: "SCMP_ACT_ERRNO", args: [] }]);
    expect(spec.linux?.intelRdt).toEqual({ closID: "gold" });
  });

  it("that no spec can say is refused", () => {
    expect(() => adjust({ linux: { memoryPolicy: { nodes: "0" } } })).toThrow("ask for a memory policy");
    expect(() => adjust({ linux: { resources: { blockioClass: { value: "x" } } } })).toThrow("a block I/O class");
  });
});

describe("limits", () => {
  it("are the same there and back", () => {
    const resources = {
      memory: { limit: 1n << 40n, swap: -1, kernelTCP: 3, swappiness: 0, disableOOMKiller: true },
      cpu: { shares: 2, quota: -1, period: 100_000, cpus: "0-1", mems: "0" },
      pids: { limit: 9 },
      hugepageLimits: [{ pageSize: "2MB", limit: 4 }],
      unified: { "memory.high": "7" },
      devices: [{ allow: true, type: "c" as const, major: 1, access: "r" }],
    };
    const back = withNriResources(undefined, nriResources(resources));
    const plain = (value: unknown): unknown =>
      JSON.parse(JSON.stringify(value, (_key, one: unknown) => (typeof one === "bigint" ? Number(one) : one)));
    expect(plain(back)).toEqual(plain(resources));
  });

  it("that a plugin sets leave the others", () => {
    const change = LinuxResources.create({ memory: { limit: { value: 6n } }, cpu: { shares: { value: 8n } } });
    expect(withNriResources(base.linux?.resources, change)).toEqual({
      devices: [{ allow: false, access: "rwm" }],
      memory: { limit: 6n, swap: 9 },
      cpu: { cpus: "0", shares: 8n },
    });
  });
});
