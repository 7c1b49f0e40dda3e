/** One of the two daemons that are compared: ctrd or the real containerd, each on its own directories. */
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { createContext, type CallContext } from "@ctrd/core/context";
import { openChannel, type RpcChannel } from "@ctrd/services";
import { mustRun, runCommand, startContainerd, startCtrd, type TempDir, type TestDaemon } from "@ctrd/testkit/fixtures";

export interface Side {
  readonly name: "ours" | "theirs";
  readonly daemon: TestDaemon;
  readonly channel: RpcChannel;
  readonly ctx: CallContext;
  readonly namespace: string;
  /** Runs ctr. @throws unless it exits with 0 */
  ctr(...args: string[]): Promise<string>;
  /** ctr in another namespace. */
  inNamespace(namespace: string): (...args: string[]) => Promise<string>;
  /** Starts another daemon of the same kind in a directory of its own. The caller ends it. */
  start(directory: string): Promise<TestDaemon>;
  /** Starts another daemon of the same kind that serves CRI, in a directory of its own. The caller ends it. */
  startCri(directory: string, config: CriConfig): Promise<TestDaemon>;
  /** Something that ends before the side does. */
  own(resource: AsyncDisposable): void;
  close(): Promise<void>;
}

/** The same settings in the layouts of the two. */
export interface CriConfig {
  readonly pauseImage: string;
  /** Directory of network configurations. */
  readonly networks: string;
}

interface SideOptions {
  readonly from: "source" | "dist";
  readonly peer: string;
  readonly self: boolean;
}

export async function openSide(name: Side["name"], dir: TempDir, options: SideOptions): Promise<Side> {
  const base = join(dir.path, name);
  await mkdir(base, { recursive: true });
  const isCtrd = name === "ours" && !options.self;
  const daemon = isCtrd ? await startCtrd({ dir: base, from: options.from }) : await startPeer(base, options.peer);
  const namespace = `bench-${name}-${process.pid}`;
  const channel = openChannel(daemon.address);
  await channel.ready();
  const inNamespace =
    (wanted: string) =>
    async (...args: string[]): Promise<string> => {
      const { exitCode, stdout, stderr } = await daemon.ctr(args, { namespace: wanted, timeoutMs: 300_000 });
      if (exitCode !== 0) throw new Error(`${name}: ctr ${args.join(" ")}: exit code ${exitCode}\n${stdout}${stderr}`);
      return stdout;
    };
  const owned = new AsyncDisposableStack();
  return {
    name,
    daemon,
    channel,
    ctx: createContext({ namespace }),
    namespace,
    ctr: inNamespace(namespace),
    inNamespace,
    start: (directory) =>
      isCtrd ? startCtrd({ dir: directory, from: options.from }) : startPeer(directory, options.peer),
    startCri: (directory, config) =>
      isCtrd
        ? startCtrd({ dir: directory, from: options.from, extraConfig: ctrdConfig(config) })
        : startPeer(directory, options.peer, config),
    own: (resource) => void owned.use(resource),
    async close() {
      await owned.disposeAsync();
      channel.close();
      await runCommand("ctr", ["-a", daemon.address, "namespaces", "rm", "--cgroup", namespace]);
      await daemon[Symbol.asyncDispose]();
    },
  };
}

/** The fixture starts `containerd` from the PATH, so another binary is put in front of it under that name. */
async function startPeer(base: string, peer: string, cri?: CriConfig): Promise<TestDaemon> {
  const start = (): Promise<TestDaemon> =>
    startContainerd({ dir: base, ...(cri === undefined ? {} : { cri: true, extraConfig: containerdConfig(cri) }) });
  if (peer === "containerd") return start();
  const bin = join(base, "bin");
  await mkdir(bin, { recursive: true });
  await symlink(peer, join(bin, "containerd"));
  await mustRun(join(bin, "containerd"), ["--version"]);
  const path = process.env["PATH"] ?? "";
  process.env["PATH"] = `${bin}:${path}`;
  try {
    return await start();
  } finally {
    process.env["PATH"] = path;
  }
}

/** Where Debian has the programs of networks. */
const networkPrograms = "/usr/lib/cni";

function ctrdConfig({ pauseImage, networks }: CriConfig): string {
  return `[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = ${JSON.stringify(pauseImage)}
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["${networkPrograms}"]
conf_dir = ${JSON.stringify(networks)}
`;
}

function containerdConfig({ pauseImage, networks }: CriConfig): string {
  return `[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = ${JSON.stringify(pauseImage)}
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "${networkPrograms}"
conf_dir = ${JSON.stringify(networks)}
`;
}
