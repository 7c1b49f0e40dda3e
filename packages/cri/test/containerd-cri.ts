/** A real containerd with its own CRI plugin, driven by crictl. */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ContainerConfig, DeepPartial, PodSandboxConfig } from "@ctrd/api/cri/runtime/v1/api";
import type { Spec } from "@ctrd/oci";
import { decodeSpec } from "@ctrd/oci";
import type { BuiltImage, TestDaemon } from "@ctrd/testkit/fixtures";
import { mustRun, startDaemon, tempDir, writeOciArchive } from "@ctrd/testkit/fixtures";

const crictl = fileURLToPath(new URL("../../../.host/bin/crictl", import.meta.url));
/** Debian's, or one of the person who runs the tests. */
const containerd = process.env["CTRD_TEST_CONTAINERD"] ?? "containerd";

/** Whether crictl was built (tools/setup-host.sh). */
export const hasCrictl: boolean = existsSync(crictl);

/** A containerd that serves CRI. */
export interface ContainerdCri extends AsyncDisposable {
  readonly daemon: TestDaemon;
  /** Directories of what its CRI plugin keeps of sandboxes, in root and state. */
  readonly sandboxes: { root: string; state: string };
  importImage(reference: string, image: BuiltImage): Promise<void>;
  runPod(config: DeepPartial<PodSandboxConfig>): Promise<string>;
  createContainer(
    sandboxId: string,
    config: DeepPartial<ContainerConfig>,
    pod: DeepPartial<PodSandboxConfig>,
  ): Promise<string>;
  removePod(id: string): Promise<void>;
  spec(id: string): Promise<Spec>;
}

/** Starts it. Its pods use the network of the host: no network programs are needed. */
export async function startContainerdCri(pauseImage: string): Promise<ContainerdCri> {
  const dir = await tempDir("cric-");
  const [root, state] = [join(dir.path, "root"), join(dir.path, "state")];
  const address = join(dir.path, "d.sock");
  await Promise.all(["cni", "opt"].map((name) => mkdir(join(dir.path, name))));
  await writeFile(join(dir.path, "config.toml"), configuration(dir.path, address, pauseImage));
  const daemon = await startDaemon({
    name: "containerd",
    program: containerd,
    args: ["--config", join(dir.path, "config.toml")],
    root,
    state,
    address,
    config: join(dir.path, "config.toml"),
    logFile: join(dir.path, "log"),
    async cleanUp() {
      await dir[Symbol.asyncDispose]();
    },
  });
  let count = 0;
  const file = async (value: unknown): Promise<string> => {
    count += 1;
    const path = join(dir.path, `request-${count}.json`);
    await writeFile(path, JSON.stringify(toProtoJson(value)));
    return path;
  };
  const cri = async (...args: string[]): Promise<string> =>
    (await mustRun(crictl, ["--runtime-endpoint", `unix://${address}`, ...args])).stdout.trim();
  return {
    daemon,
    sandboxes: {
      root: join(root, "io.containerd.grpc.v1.cri/sandboxes"),
      state: join(state, "io.containerd.grpc.v1.cri/sandboxes"),
    },
    async importImage(reference, image) {
      const archive = join(dir.path, "image.tar");
      await writeOciArchive(archive, [{ image, containerdName: reference }]);
      await daemon.ctr(["images", "import", archive], { namespace: "k8s.io" });
    },
    runPod: async (config) => cri("runp", await file(config)),
    createContainer: async (sandboxId, config, pod) => cri("create", sandboxId, await file(config), await file(pod)),
    async removePod(id) {
      await cri("rmp", "--force", id);
    },
    async spec(id) {
      const { stdout } = await daemon.ctr(["containers", "info", id], { namespace: "k8s.io" });
      const text = JSON.stringify((JSON.parse(stdout) as { Spec: unknown }).Spec);
      return decodeSpec(text);
    },
    async [Symbol.asyncDispose]() {
      await daemon[Symbol.asyncDispose]();
    },
  };
}

function configuration(base: string, address: string, pauseImage: string): string {
  return `version = 2
root = "${base}/root"
state = "${base}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing"]
[grpc]
address = "${address}"
[ttrpc]
address = "${address}.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
path = "${base}/opt"
[plugins."io.containerd.nri.v1.nri"]
disable = true
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${pauseImage}"
restrict_oom_score_adj = true
enable_unprivileged_ports = true
enable_unprivileged_icmp = true
stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".cni]
conf_dir = "${base}/cni"
`;
}

/** A message as crictl reads it: names as in the proto file, bytes as text. */
function toProtoJson(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString();
  if (value instanceof Map) return Object.fromEntries(value);
  if (Array.isArray(value)) return value.map(toProtoJson);
  if (typeof value !== "object" || value === null) return value;
  const name = (key: string): string => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [name(key), toProtoJson(part)]));
}
