import { existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ContainerConfig, MountPropagation, NamespaceMode } from "@ctrd/api/cri/runtime/v1/api";
import type { Mount } from "@ctrd/oci";
import { MountFlag, mount, unmount } from "@ctrd/sys";
import type { TempDir } from "@ctrd/testkit/fixtures";
import { mountsBelow, tempDir } from "@ctrd/testkit/fixtures";
import type { ContainerParts } from "../../test/spec-input.ts";
import { makeContainer, runcHandler } from "../../test/spec-input.ts";
import { podMounts } from "./sandbox-mounts.ts";

let dir: TempDir;
beforeAll(async () => {
  dir = await tempDir();
});
afterAll(async () => {
  expect(await mountsBelow(dir.path)).toEqual([]);
  await dir[Symbol.asyncDispose]();
});

type RequestedMount = NonNullable<NonNullable<ContainerParts["config"]>["mounts"]>[number];

/** The mounts of a container that asks for these, without those that every container has. */
async function mountsOf(wanted: RequestedMount[], parts: ContainerParts = {}): Promise<Mount[]> {
  const { spec } = await makeContainer({ ...parts, config: { ...parts.config, mounts: wanted } });
  return spec.mounts?.filter(({ type }) => type === "bind") ?? [];
}

async function destinations(wanted: RequestedMount[]): Promise<string[]> {
  const { spec } = await makeContainer({ config: { mounts: wanted } });
  return spec.mounts?.map(({ destination }) => destination) ?? [];
}

test("a missing directory of the host is made, and one that cannot be is named", async () => {
  const hostPath = join(dir.path, "a/b");
  await mountsOf([{ hostPath, containerPath: "/m" }]);
  expect(statSync(hostPath).mode & 0o7777).toBe(0o755);
  writeFileSync(join(dir.path, "file"), "");
  await expect(mountsOf([{ hostPath: join(dir.path, "file/x"), containerPath: "/m" }])).rejects.toThrow(
    /file\/x" cannot be read/,
  );
  await expect(mountsOf([{ hostPath: "/proc/nowhere", containerPath: "/m" }])).rejects.toThrow(
    '"/proc/nowhere" is missing and cannot be made',
  );
});

test("a link of the host is followed, a dangling one is refused", async () => {
  const target = join(dir.path, "target");
  mkdirSync(target);
  symlinkSync(target, join(dir.path, "link"));
  expect((await mountsOf([{ hostPath: join(dir.path, "link"), containerPath: "/m" }]))[0]?.source).toBe(target);
  symlinkSync("/nowhere/at/all", join(dir.path, "dangling"));
  await expect(mountsOf([{ hostPath: join(dir.path, "dangling"), containerPath: "/m" }])).rejects.toThrow("/dangling");
});

test.each([
  ["no host path", { hostPath: "", containerPath: "/m" }, "a path is empty"],
  ["no container path", { hostPath: "/tmp", containerPath: "" }, "a path is empty"],
  ["a relative host path", { hostPath: "tmp", containerPath: "/m" }, "not absolute"],
  [
    "recursively read-only, but writable",
    { hostPath: "/tmp", containerPath: "/m", recursiveReadOnly: true },
    "not read-only",
  ],
  [
    "recursively read-only and shared",
    { hostPath: "/tmp", containerPath: "/m", readonly: true, recursiveReadOnly: true, propagation: 1 as const },
    "private propagation",
  ],
])("%s is refused", async (_name, wanted, message) => {
  await expect(mountsOf([wanted])).rejects.toThrow(message);
});

test("recursively read-only: by kernel and handler, with the word that kubelet looks for", async () => {
  const wanted = [{ hostPath: dir.path, containerPath: "/m", readonly: true, recursiveReadOnly: true }];
  expect((await mountsOf(wanted))[0]?.options).toEqual(["rbind", "rprivate", "rro"]);
  await expect(mountsOf(wanted, { recursiveReadOnlyMounts: false })).rejects.toThrow(/^RROUnsupported: /);
  await expect(mountsOf(wanted, { env: { host: { recursiveReadOnly: false } } })).rejects.toThrow(/^RROUnsupported: /);
});

test("higher mounts first; those of the request in place of others, a /dev of its own without what is below", async () => {
  const at = (containerPath: string): RequestedMount => ({ hostPath: dir.path, containerPath });
  expect(await destinations([at("/a/b/c"), at("/a"), at("/a/b/"), at("/sys/")])).toEqual([
    "/proc",
    "/dev",
    "/dev/pts",
    "/dev/shm",
    "/dev/mqueue",
    "/sys/fs/cgroup",
    "/a",
    "/sys/",
    "/a/b/",
    "/a/b/c",
  ]);
  expect(await destinations([at("/dev"), at("/dev/x"), at("/sys/fs/cgroup")])).toEqual([
    "/proc",
    "/sys",
    "/dev",
    "/dev/x",
    "/sys/fs/cgroup",
  ]);
});

test("the cgroup filesystem: writable by configuration", async () => {
  const optionsOf = async (cgroup_writable: boolean): Promise<string[] | undefined> => {
    const { spec } = await makeContainer({ handler: { ...runcHandler, cgroup_writable } });
    return spec.mounts?.find(({ type }) => type === "cgroup")?.options;
  };
  expect(await optionsOf(false)).toEqual(["nosuid", "noexec", "nodev", "relatime", "ro"]);
  expect(await optionsOf(true)).toEqual(["nosuid", "noexec", "nodev", "relatime", "rw"]);
});

describe("propagation", () => {
  const paths = (): Record<"shared" | "slave" | "own", string> => ({
    shared: join(dir.path, "shared"),
    slave: join(dir.path, "slave"),
    own: join(dir.path, "own"),
  });
  beforeAll(() => {
    const { shared, slave, own } = paths();
    for (const path of [shared, slave, own]) mkdirSync(path);
    mount("tmpfs", shared, "tmpfs");
    mount("", shared, "", MountFlag.Shared);
    mount(shared, slave, "", MountFlag.Bind);
    mount("", slave, "", MountFlag.Slave);
    mount("tmpfs", own, "tmpfs");
    mount("", own, "", MountFlag.Private);
  });
  afterAll(() => {
    for (const path of Object.values(paths())) unmount(path);
  });

  const { PROPAGATION_BIDIRECTIONAL: both, PROPAGATION_HOST_TO_CONTAINER: fromHost } = MountPropagation;

  test("is that of the mount, and of the root filesystem", async () => {
    const { shared, slave } = paths();
    mkdirSync(join(shared, "below"));
    const make = async (...wanted: RequestedMount[]): Promise<{ root: string | undefined; options: unknown }> => {
      const { spec } = await makeContainer({ config: { mounts: wanted } });
      const binds = spec.mounts?.filter(({ type }) => type === "bind").map(({ options }) => options?.[1]);
      return { root: spec.linux?.rootfsPropagation, options: binds };
    };
    const one = { hostPath: slave, containerPath: "/one", propagation: fromHost };
    const two = { hostPath: join(shared, "below"), containerPath: "/two", propagation: both };
    const three = { hostPath: shared, containerPath: "/z", propagation: fromHost };
    expect(await make({ hostPath: shared, containerPath: "/p" })).toEqual({ root: undefined, options: ["rprivate"] });
    expect(await make(one)).toEqual({ root: "rslave", options: ["rslave"] });
    expect(await make(one, two, three)).toEqual({ root: "rshared", options: ["rslave", "rshared", "rslave"] });
  });

  test("needs a mount of the host that has it, which is named otherwise", async () => {
    const { slave, own } = paths();
    const asked = (hostPath: string, propagation: 1 | 2): RequestedMount[] => [
      { hostPath, containerPath: "/m", propagation },
    ];
    mkdirSync(join(own, "below"));
    await expect(mountsOf(asked(join(own, "below"), fromHost))).rejects.toThrow(
      `path "${own}/below" is mounted on "${own}" but it is not a shared or slave mount`,
    );
    await expect(mountsOf(asked(slave, both))).rejects.toThrow("it is not a shared mount");
  });
});

test("files of the pod: where they are there and the container mounts nothing itself", async () => {
  const files = {
    hostname: join(dir.path, "hostname"),
    hosts: join(dir.path, "hosts"),
    resolvConf: join(dir.path, "resolv.conf"),
    shm: join(dir.path, "shm"),
  };
  writeFileSync(files.hostname, "");
  writeFileSync(files.resolvConf, "");
  mkdirSync(files.shm);
  const config = ContainerConfig.create({
    mounts: [{ containerPath: "/etc//resolv.conf", hostPath: files.resolvConf }],
    linux: { securityContext: { readonlyRootfs: true } },
  });
  const found = await podMounts(config, files);
  expect(found).toMatchObject([
    { containerPath: "/etc/hostname", hostPath: files.hostname, readonly: true, selinuxRelabel: true },
    { containerPath: "/dev/shm", hostPath: files.shm, readonly: false, selinuxRelabel: true },
  ]);
  const namespaceOptions = { ipc: NamespaceMode.NODE };
  const shared = await podMounts(ContainerConfig.create({ linux: { securityContext: { namespaceOptions } } }), files);
  expect(shared.find(({ containerPath }) => containerPath === "/dev/shm")).toMatchObject({
    hostPath: "/dev/shm",
    selinuxRelabel: false,
  });
});

describe("volumes of images", () => {
  const volumesDirectory = (): string => join(dir.path, "volumes");

  test("get directories of their own, which are made", async () => {
    const { spec, volumes } = await makeContainer({
      volumes: ["/data", "relative", "/data/", "/mine"],
      volumesDirectory: volumesDirectory(),
      config: { mounts: [{ containerPath: "/mine/", hostPath: dir.path }] },
    });
    expect(volumes.map(({ containerPath }) => containerPath)).toEqual(["/data", "/relative"]);
    for (const { hostPath, containerPath } of volumes) {
      expect(existsSync(hostPath)).toBe(true);
      expect(spec.mounts).toContainEqual({
        destination: containerPath,
        type: "bind",
        source: hostPath,
        options: ["rbind", "rprivate", "rw"],
      });
    }
  });

  test("CVE-2022-23648: a path that leaves the root stays below it", async () => {
    const { volumes } = await makeContainer({
      volumes: ["/../../etc", "../..", "/"],
      volumesDirectory: volumesDirectory(),
    });
    expect(volumes.map(({ containerPath }) => containerPath)).toEqual(["/etc"]);
  });

  test("none by configuration", async () => {
    const env = { settings: { ignore_image_defined_volumes: true } };
    expect((await makeContainer({ volumes: ["/data"], env })).volumes).toEqual([]);
  });
});
