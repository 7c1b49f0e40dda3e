/** Specs made here against those that containerd's own client makes for the same image and the same wishes. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TempDir, TestDaemon } from "@ctrd/testkit/fixtures";
import { busyboxImage, mustRun, startContainerd, tempDir, writeOciArchive } from "@ctrd/testkit/fixtures";
import { specContext } from "../test/context.ts";
import { unpackBusybox } from "../test/rootfs.ts";
import { needing } from "../test/schema.ts";
import type { Spec, SpecOption } from "./index.ts";
import {
  bindMount,
  createSpec,
  decodeSpec,
  encodeSpec,
  withAddedCapabilities,
  withAnnotations,
  withApparmorProfile,
  withCpu,
  withCwd,
  withDefaultSeccomp,
  withDevice,
  withDroppedCapabilities,
  withEnv,
  withHostHosts,
  withHostname,
  withHostNamespace,
  withHostResolvConf,
  withImageConfig,
  withMemory,
  withMounts,
  withNamespace,
  withNoNewPrivileges,
  withPrivileged,
  withProcessArgs,
  withReadonlyRoot,
  withRootfsPropagation,
  withTty,
  withUser,
} from "./index.ts";

const image = { Env: ["A=1"], User: "app", WorkingDir: "/home", Entrypoint: ["env"], Cmd: ["x"] };
const reference = "example.com/oci:1";
const ctr2 = fileURLToPath(new URL("../../../.host/bin/ctr2", import.meta.url));

let dir: TempDir;
let daemon: TestDaemon;
let rootfs: string;
let count = 0;

beforeAll(async () => {
  dir = await tempDir();
  rootfs = join(dir.path, "rootfs");
  mkdirSync(rootfs);
  await unpackBusybox(rootfs);
  daemon = await startContainerd();
  const archive = join(dir.path, "image.tar");
  await writeOciArchive(archive, [{ image: await busyboxImage({ config: image }), containerdName: reference }]);
  const imported = await daemon.ctr(["images", "import", archive]);
  expect(imported.stderr).toBe("");
});
afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  await dir?.[Symbol.asyncDispose]();
});

/** The spec that `ctr containers create` with these flags stores. */
async function specOfCtr(
  program: string,
  id: string,
  flags: readonly string[],
  args: readonly string[],
): Promise<Spec> {
  const ctr = (...words: string[]): Promise<{ stdout: string }> =>
    mustRun(program, ["--address", daemon.address, ...words]);
  await ctr("containers", "create", ...flags, reference, id, ...args);
  const { stdout } = await ctr("containers", "info", id);
  await ctr("containers", "rm", id);
  return (JSON.parse(stdout) as { Spec: Spec }).Spec;
}

interface Comparison {
  name: string;
  flags?: readonly string[];
  args?: readonly string[];
  options?: readonly SpecOption[];
  /** Brings both to what must be equal. */
  normalize?: (spec: Spec) => void;
}

async function compare(program: string, comparison: Comparison): Promise<void> {
  const { flags = [], args = [], options = [], normalize } = comparison;
  count += 1;
  const id = `c${count}`;
  const theirs = await specOfCtr(program, id, flags, args);
  const made = await createSpec(specContext({ id, rootfs, image }), withImageConfig(), ...options);
  const ours = decodeSpec(encodeSpec(made));
  for (const spec of [theirs, ours]) {
    // Each states the version that it was written for.
    spec.ociVersion = "";
    normalize?.(spec);
  }
  expect(ours).toEqual(theirs);
}

/** Names and rules in any order: a filter is a set. */
function sortSeccomp(spec: Spec): void {
  const rules = spec.linux?.seccomp?.syscalls ?? [];
  const calls = rules.flatMap(({ names, ...rule }) => names.map((name) => JSON.stringify({ name, ...rule })));
  spec.linux ??= {};
  (spec.linux as Record<string, unknown>)["seccomp"] = {
    ...spec.linux.seccomp,
    syscalls: [...new Set(calls)].toSorted(),
  };
}

/** An empty list and none are the same to the runtime. */
function dropEmptyLists(spec: Spec): void {
  const linux = spec.linux ?? {};
  if (linux.maskedPaths?.length === 0) delete linux.maskedPaths;
  if (linux.readonlyPaths?.length === 0) delete linux.readonlyPaths;
}

/** What a flag that takes a false value leaves out. */
function dropFalse(spec: Spec): void {
  if (spec.process?.noNewPrivileges === false) delete spec.process.noNewPrivileges;
}

const comparisons: readonly Comparison[] = [
  { name: "nothing but the image" },
  {
    name: "arguments, environment, directory",
    flags: ["--env", "B=2", "--cwd", "/tmp"],
    args: ["ls", "-l"],
    options: [withProcessArgs("ls", "-l"), withEnv("B=2"), withCwd("/tmp")],
  },
  { name: "terminal", flags: ["--tty"], options: [withTty()] },
  { name: "read-only", flags: ["--read-only"], options: [withReadonlyRoot()] },
  {
    name: "host network",
    flags: ["--net-host"],
    // ctr also tells the process the host's name.
    normalize: (spec) => {
      if (spec.process?.env) spec.process.env = spec.process.env.filter((entry) => !entry.startsWith("HOSTNAME="));
    },
    options: [withHostNamespace("network"), withHostHosts(), withHostResolvConf()],
  },
  {
    name: "joined namespace",
    flags: ["--with-ns", "ipc:/proc/1/ns/ipc"],
    options: [withNamespace("ipc", "/proc/1/ns/ipc")],
  },
  {
    name: "mount",
    flags: ["--mount", "type=bind,src=/tmp,dst=/mnt,options=rbind:ro"],
    options: [withMounts(bindMount("/tmp", "/mnt", { readonly: true }))],
  },
  {
    name: "capabilities",
    flags: ["--cap-add", "CAP_SYS_ADMIN", "--cap-drop", "CAP_KILL"],
    options: [withAddedCapabilities("SYS_ADMIN"), withDroppedCapabilities("KILL")],
  },
  { name: "new privileges", flags: ["--allow-new-privs"], options: [withNoNewPrivileges(false)], normalize: dropFalse },
  { name: "memory limit", flags: ["--memory-limit", "67108864"], options: [withMemory({ limit: 64 << 20 })] },
  {
    name: "quota",
    flags: ["--cpu-quota", "5000", "--cpu-period", "100000"],
    options: [withCpu({ quota: 5000, period: 100_000 })],
  },
  { name: "device", flags: ["--device", "/dev/full"], options: [withDevice({ hostPath: "/dev/full" })] },
  { name: "annotation", flags: ["--annotation", "a=b"], options: [withAnnotations({ a: "b" })] },
  {
    name: "rootfs propagation",
    flags: ["--rootfs-propagation", "rshared"],
    options: [withRootfsPropagation("rshared")],
  },
  { name: "AppArmor profile", flags: ["--apparmor-profile", "foo"], options: [withApparmorProfile("foo")] },
  { name: "privileged", flags: ["--privileged"], options: [withPrivileged()], normalize: dropEmptyLists },
];

describe("as Debian's ctr, but for the masked powercap (GO-2023-2412)", () => {
  test.each(comparisons)("$name", async (comparison) => {
    const normalize = (spec: Spec): void => {
      comparison.normalize?.(spec);
      const { linux } = spec;
      if (linux?.maskedPaths) linux.maskedPaths = linux.maskedPaths.filter((path) => !path.endsWith("/powercap"));
    };
    await compare("ctr", { ...comparison, normalize });
  });
});

const newer: readonly Comparison[] = [
  ...comparisons,
  { name: "user", flags: ["--user", "1000:10"], options: [withUser("1000:10")] },
  { name: "user by name", flags: ["--user", "app"], options: [withUser("app")] },
  { name: "user and group by name", flags: ["--user", "app:wheel"], options: [withUser("app:wheel")] },
  { name: "root", flags: ["--user", "root"], options: [withUser("root")] },
  { name: "host name", flags: ["--hostname", "h"], options: [withHostname("h")] },
  { name: "seccomp", flags: ["--seccomp"], options: [withDefaultSeccomp()], normalize: sortSeccomp },
  ...["SYS_ADMIN", "DAC_READ_SEARCH", "SYS_PTRACE", "SYS_TIME", "SYS_NICE", "BPF", "SYS_MODULE", "SYSLOG"].map(
    (capability): Comparison => ({
      name: `seccomp with ${capability} and without SYS_CHROOT`,
      flags: ["--seccomp", "--cap-add", `CAP_${capability}`, "--cap-drop", "CAP_SYS_CHROOT"],
      options: [withAddedCapabilities(capability), withDroppedCapabilities("SYS_CHROOT"), withDefaultSeccomp()],
      normalize: sortSeccomp,
    }),
  ),
];

describe("as ctr 2.x", () => {
  for (const comparison of newer) {
    needing(existsSync(ctr2), "ctr 2.x (tools/setup-host.sh)", comparison.name, () => compare(ctr2, comparison));
  }
});
