/** Specs made here against those that containerd's own CRI plugin makes for the same requests. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect } from "vitest";
import type { ContainerConfig, DeepPartial, PodSandboxConfig } from "@ctrd/api/cri/runtime/v1/api";
import { NamespaceMode, SecurityProfile_ProfileType as ProfileType } from "@ctrd/api/cri/runtime/v1/api";
import type { Mount, Process, Spec } from "@ctrd/oci";
import { decodeSpec, defaultSpec, encodeSpec } from "@ctrd/oci";
import type { TempDir } from "@ctrd/testkit/fixtures";
import { busyboxEntries, busyboxImage, mustRun, tarBuffer, tempDir } from "@ctrd/testkit/fixtures";
import type { ContainerdCri } from "../../test/containerd-cri.ts";
import { hasCrictl, startContainerdCri } from "../../test/containerd-cri.ts";
import { removeCgroup } from "../../test/runc-pod.ts";
import { imageConfig, makeContainer, makeSandbox, plainHost } from "../../test/spec-input.ts";
import { needing } from "../../test/spec-schema.ts";
import { detectHostFeatures } from "./host-features.ts";
import type { SandboxFiles } from "./index.ts";

const pauseImage = "example.com/pause:1";
const appImage = "example.com/app:1";
const pauseConfig = { Entrypoint: ["sleep", "1000"], Env: ["PATH=/bin"] };
const appConfig = { Entrypoint: ["env"], Cmd: ["x"], Env: ["A=1", "PATH=/bin"], WorkingDir: "/home/app" };

const cgroupParent = `/cri-compared-${process.pid}`;
let dir: TempDir;
let peer: ContainerdCri | undefined;
let rootfs: string;
let host = plainHost;

beforeAll(async () => {
  dir = await tempDir();
  if (!hasCrictl) return;
  rootfs = join(dir.path, "rootfs");
  mkdirSync(rootfs);
  await mustRun("tar", ["-x", "-C", rootfs], { input: tarBuffer(await busyboxEntries("hardlink")) });
  host = await detectHostFeatures();
  peer = await startContainerdCri(pauseImage);
  await peer.importImage(pauseImage, await busyboxImage({ config: { ...pauseConfig, Cmd: [] } }));
  await peer.importImage(appImage, await busyboxImage({ config: appConfig }));
});
afterAll(async () => {
  removeCgroup(cgroupParent);
  await peer?.[Symbol.asyncDispose]();
  await dir[Symbol.asyncDispose]();
});

const env = (): object => ({ host, settings: { restrict_oom_score_adj: true } });

function filesOf(id: string): SandboxFiles {
  const { root = "", state = "" } = peer?.sandboxes ?? {};
  return {
    hostname: join(root, id, "hostname"),
    hosts: join(root, id, "hosts"),
    resolvConf: join(root, id, "resolv.conf"),
    shm: join(state, id, "shm"),
  };
}

let count = 0;

/** A pod in the network of the host. */
function podOf(config: DeepPartial<PodSandboxConfig> = {}): DeepPartial<PodSandboxConfig> {
  count += 1;
  const namespaceOptions = { network: NamespaceMode.NODE };
  const { linux, ...rest } = config;
  return {
    metadata: { name: `pod${count}`, uid: `uid${count}`, namespace: "ns", attempt: 1 },
    logDirectory: join(dir.path, "logs"),
    ...rest,
    linux: { ...linux, securityContext: { namespaceOptions, ...linux?.securityContext } },
  };
}

/** Runs the pod and the container there, and makes their specs here. */
async function bothSpecs(
  pod: DeepPartial<PodSandboxConfig>,
  config: DeepPartial<ContainerConfig>,
): Promise<Record<"sandbox" | "container", { theirs: Spec; ours: Spec }>> {
  if (peer === undefined) throw new Error("no containerd");
  const request = { metadata: { name: "app", attempt: 0 }, image: { image: appImage }, ...config };
  const sandboxId = await peer.runPod(pod);
  try {
    const containerId = await peer.createContainer(sandboxId, request, pod);
    const [sandbox, container] = [await peer.spec(sandboxId), await peer.spec(containerId)];
    const pid = /^\/proc\/(\d+)\//.exec(container.linux?.namespaces?.find(({ path }) => path)?.path ?? "")?.[1];
    // What the requests of the helpers have by default is not in those of crictl.
    const plainPod = { logDirectory: "", hostname: "", ...pod };
    const ourSandbox = await makeSandbox({
      id: sandboxId,
      netnsPath: "",
      config: plainPod,
      image: { name: pauseImage, config: imageConfig(pauseConfig) },
      files: filesOf(sandboxId),
      env: env(),
    });
    const ours = await makeContainer({
      id: containerId,
      config: request,
      pod: plainPod,
      image: appConfig,
      imageName: appImage,
      rootfs,
      sandbox: { id: sandboxId, pid: Number(pid), processLabel: "", files: filesOf(sandboxId) },
      env: env(),
    });
    return {
      sandbox: { theirs: sandbox, ours: ourSandbox },
      container: { theirs: container, ours: decodeSpec(encodeSpec(ours.spec)) },
    };
  } finally {
    await peer.removePod(sandboxId);
  }
}

/** Without what differs on purpose, or only in how it is written. */
function comparable(spec: Spec): object {
  const { ociVersion: _version, process, linux, mounts = [], annotations, ...rest } = spec;
  // Newer than Debian's containerd.
  const { "io.kubernetes.cri.podsandbox.image-name": _image, ...told } = annotations ?? {};
  const { user, capabilities = {}, ...ofProcess } = process ?? ({ user: { uid: -1, gid: -1 }, cwd: "" } as Process);
  const { resources, sysctl = {}, maskedPaths = [], readonlyPaths = [], seccomp, ...ofLinux } = linux ?? {};
  const defaultRules = JSON.stringify(defaultSpec("n", "i").linux?.resources?.devices?.slice(1));
  return {
    ...rest,
    annotations: told,
    process: {
      ...ofProcess,
      noNewPrivileges: ofProcess.noNewPrivileges ?? false,
      // Containerd leaves a variable there twice; the runtime takes the last.
      env: Object.fromEntries((ofProcess.env ?? []).map((entry) => entry.split(/=(.*)/s, 2))) as unknown,
      // Always there, and with the primary group: CVE-2023-25173.
      user: {
        ...user,
        additionalGids: [...new Set([user.gid, ...(user.additionalGids ?? [])])].toSorted((a, b) => a - b),
      },
      capabilities: { ...capabilities, inheritable: undefined, bounding: capabilities.bounding?.toSorted() },
    },
    linux: {
      ...ofLinux,
      sysctl,
      readonlyPaths,
      // What is in it is compared in the tests of @ctrd/oci.
      seccomp: seccomp?.defaultAction,
      // Debian's containerd does not mask it: GO-2023-2412.
      maskedPaths: maskedPaths.filter((path) => path !== "/sys/devices/virtual/powercap").toSorted(),
      // Runtimes allow these by themselves.
      resources: {
        ...resources,
        devices: resources?.devices?.filter((rule) => !defaultRules.includes(JSON.stringify(rule))),
      },
    },
    mounts: mounts
      // Debian's containerd leaves it below the one of the pod.
      .filter(({ destination, type }) => destination !== "/dev/shm" || type === "bind")
      .map((mount) => ({ ...mount, options: comparableOptions(mount) }))
      // Debian's containerd leaves it read-only in the sandbox of a privileged pod; later ones do not.
      .filter(({ type }) => type !== "sysfs" || told["io.kubernetes.cri.container-type"] !== "sandbox"),
  };
}

/** Debian's containerd binds the files of a sandbox without these. */
function comparableOptions({ type, options = [] }: Mount): string[] {
  return type === "bind" ? options.filter((option) => !["nosuid", "nodev", "noexec"].includes(option)) : options;
}

interface Case {
  pod?: DeepPartial<PodSandboxConfig>;
  container?: DeepPartial<ContainerConfig>;
}

const resources = {
  cpuPeriod: 100_000n,
  cpuQuota: 50_000n,
  cpuShares: 512n,
  memoryLimitInBytes: 64n << 20n,
  oomScoreAdj: 500n,
  cpusetCpus: "0",
  cpusetMems: "0",
};

describe("the same specs as containerd's", () => {
  const cases: Record<string, () => Case> = {
    "a simple pod": () => ({}),
    "limits, cgroup, annotations of resources, seccomp of the sandbox": () => ({
      pod: {
        annotations: new Map([["a", "b"]]),
        linux: {
          cgroupParent,
          resources: { cpuShares: 2048n, memoryLimitInBytes: 1n << 30n },
          securityContext: { seccomp: { profileType: ProfileType.RuntimeDefault }, supplementalGroups: [7n] },
        },
      },
      container: { linux: { resources } },
    }),
    "process, environment, directory, terminal": () => ({
      container: {
        command: ["sh"],
        args: ["-c", "x"],
        workingDir: "/w",
        tty: true,
        envs: [{ key: "A", value: Buffer.from("2") }],
      },
    }),
    "mounts, devices, volumes of the pod": () => ({
      container: {
        mounts: [
          { containerPath: "/a/b", hostPath: join(dir.path, "made"), readonly: true },
          { containerPath: "/a", hostPath: dir.path },
          { containerPath: "/etc/hosts", hostPath: "/etc/hosts" },
        ],
        devices: [{ hostPath: "/dev/zero", containerPath: "/dev/x", permissions: "rw" }],
      },
    }),
    "security: capabilities, user, groups, paths, seccomp, read-only root": () => ({
      container: {
        linux: {
          securityContext: {
            capabilities: { addCapabilities: ["NET_ADMIN", "SYS_PTRACE"], dropCapabilities: ["CHOWN"] },
            runAsUsername: "app",
            runAsGroup: { value: 3000n },
            supplementalGroups: [5000n, 1n],
            noNewPrivs: true,
            readonlyRootfs: true,
            maskedPaths: ["/proc/kcore"],
            readonlyPaths: ["/proc/sys"],
            seccomp: { profileType: ProfileType.Unconfined },
            namespaceOptions: { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER },
          },
        },
      },
    }),
    "capabilities: all but some, none but some; a user by name": () => ({
      container: {
        linux: {
          securityContext: {
            capabilities: { addCapabilities: ["KILL"], dropCapabilities: ["ALL"] },
            runAsUsername: "daemon",
          },
        },
      },
    }),
    "the processes and IPC of the host": () => {
      const namespaceOptions = { network: NamespaceMode.NODE, pid: NamespaceMode.NODE, ipc: NamespaceMode.NODE };
      return {
        pod: { linux: { securityContext: { namespaceOptions } } },
        container: { linux: { securityContext: { namespaceOptions } } },
      };
    },
    privileged: () => ({
      pod: { linux: { securityContext: { privileged: true } } },
      container: { linux: { securityContext: { privileged: true, maskedPaths: ["/proc/kcore"] } } },
    }),
  };

  for (const [name, make] of Object.entries(cases)) {
    needing(hasCrictl, "crictl (tools/setup-host.sh)", name, async () => {
      const { pod, container } = make();
      const specs = await bothSpecs(podOf(pod), container ?? {});
      expect(comparable(specs.sandbox.ours)).toEqual(comparable(specs.sandbox.theirs));
      expect(comparable(specs.container.ours)).toEqual(comparable(specs.container.theirs));
    });
  }
});
