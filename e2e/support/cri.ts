/**
 * A daemon for pods, with all that it needs in a network namespace of the test's own: this process moves there before it
 * starts anything, so that daemon, registry, bridges and rules are in there and end with it.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ContainerConfig,
  ImageServiceDefinition,
  PodSandboxConfig,
  RuntimeServiceDefinition,
} from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import { createContext } from "@ctrd/core/context";
import type { RpcChannel, RpcClient } from "@ctrd/services";
import { openChannel } from "@ctrd/services";
import { CloneFlag, setInterfaceUp, unshare } from "@ctrd/sys";
import { busyboxImage, pushImage } from "@ctrd/testkit/fixtures";
import type { CommandOptions, CommandResult } from "./command.ts";
import { describe, run, until } from "./command.ts";
import type { Harness } from "./harness.ts";
import { openHarness } from "./harness.ts";
import { removeNamespaceDirectories } from "./leaks.ts";
import { list } from "./machine-state.ts";
import { crictl, requirePeers } from "./peers.ts";

/** Parts of messages; what is absent has its default. */
type PodParts = Parameters<typeof PodSandboxConfig.fromPartial>[0];
type ContainerParts = Parameters<typeof ContainerConfig.fromPartial>[0];

const programs = "/usr/lib/cni";

/** Networks of pods: a bridge with addresses of its own, and published ports. */
const bridgeNetwork = (own: string): unknown => ({
  cniVersion: "1.0.0",
  name: "pods",
  plugins: [
    {
      type: "bridge",
      bridge: "pods0",
      isGateway: true,
      ipMasq: true,
      promiscMode: true,
      ipam: {
        type: "host-local",
        dataDir: join(own, "ipam"),
        ranges: [[{ subnet: "10.88.0.0/16" }]],
        routes: [{ dst: "0.0.0.0/0" }],
      },
    },
    { type: "portmap", capabilities: { portMappings: true } },
  ],
});

/** What pods are made with: a name that only the hosts.toml of the test knows. */
export const pauseImage = "pods.test/e2e/pause:1";

/** Starts a daemon for pods. @param config more of the table of the runtime, and further tables after it */
export async function openCri(name: string, config = ""): Promise<CriHarness> {
  requirePeers([crictl, `${programs}/bridge`, `${programs}/portmap`, "iptables"]);
  unshare(CloneFlag.NewNet);
  setInterfaceUp("lo");
  const own = mkdtempSync(join(tmpdir(), "ctrd-cri-"));
  const remove = (): void => rmSync(own, { recursive: true, force: true });
  try {
    mkdirSync(join(own, "net.d"));
    writeFileSync(join(own, "net.d/10-pods.conflist"), JSON.stringify(bridgeNetwork(own)));
    const h = await openHarness(name, { pull: false, config: daemonConfig(own, config) });
    const harness = new CriHarness(h, own, remove);
    try {
      await harness.prepare();
    } catch (error) {
      await harness.close();
      throw error;
    }
    return harness;
  } catch (error) {
    remove();
    throw error;
  }
}

function daemonConfig(own: string, config: string): string {
  return `[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "${pauseImage}"
[plugins."io.containerd.cri.v1.images".registry]
config_path = "${own}/certs.d"
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["${programs}"]
conf_dir = "${own}/net.d"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
${config}`;
}

export class CriHarness {
  readonly h: Harness;
  readonly runtime: RpcClient<typeof RuntimeServiceDefinition>;
  readonly images: RpcClient<typeof ImageServiceDefinition>;
  /** Where networks are configured, and where logs are, below the name of the pod. */
  readonly networks: string;
  readonly logs: string;
  readonly channel: RpcChannel;
  readonly #own: string;
  readonly #remove: () => void;
  readonly #pods = new Set<string>();

  constructor(h: Harness, own: string, remove: () => void) {
    [this.h, this.#own, this.#remove] = [h, own, remove];
    [this.networks, this.logs] = [join(own, "net.d"), join(own, "logs")];
    this.channel = openChannel(h.daemon.address);
    this.runtime = this.channel.client(RuntimeServiceDefinition);
    this.images = this.channel.client(ImageServiceDefinition);
  }

  get ctx(): CallContext {
    return createContext({ signal: AbortSignal.timeout(60_000) });
  }

  /** Images: the one of pods, and a shell. */
  async prepare(): Promise<void> {
    const { registry } = this.h;
    const hosts = join(this.#own, "certs.d/pods.test");
    mkdirSync(hosts, { recursive: true });
    writeFileSync(join(hosts, "hosts.toml"), `server = "${registry.url}"\n[host."${registry.url}"]\n`);
    await pushImage(registry, "e2e/pause", "1", await busyboxImage({ config: { Cmd: ["sleep", "1000000"] } }));
    await this.crictl("pull", this.h.image);
  }

  tryCrictl(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const endpoint = `unix://${this.h.daemon.address}`;
    return run(crictl, ["-r", endpoint, "-i", endpoint, "-t", "60s", ...args], options);
  }

  /** Runs crictl and returns what it says, without the last newline. */
  async crictl(...args: string[]): Promise<string> {
    const result = await this.tryCrictl(args);
    if (result.code !== 0) throw new Error(`${describe(result)}\n${this.h.daemon.logs().slice(-1500)}`);
    return result.stdout.trimEnd();
  }

  /** The configuration of a pod. */
  pod(name: string, parts: PodParts = {}): PodSandboxConfig {
    return PodSandboxConfig.fromPartial({
      metadata: { name, uid: `uid-${name}`, namespace: "e2e", attempt: 0 },
      logDirectory: join(this.logs, name),
      linux: {},
      ...parts,
    });
  }

  /** Runs a pod. @returns its id */
  async runPod(name: string, parts: PodParts = {}, runtimeHandler = ""): Promise<string> {
    const config = this.pod(name, parts);
    mkdirSync(config.logDirectory, { recursive: true });
    const { podSandboxId } = await this.runtime.runPodSandbox(this.ctx, { config, runtimeHandler });
    this.#pods.add(podSandboxId);
    return podSandboxId;
  }

  /** Makes a container that runs a script of the shell. @returns its id */
  async create(podId: string, name: string, script: string, parts: ContainerParts = {}): Promise<string> {
    const config = ContainerConfig.fromPartial({
      metadata: { name, attempt: 0 },
      image: { image: this.h.image },
      command: ["sh", "-c", script],
      logPath: `${name}.log`,
      linux: {},
      ...parts,
    });
    const { status } = await this.runtime.podSandboxStatus(this.ctx, { podSandboxId: podId, verbose: false });
    const sandboxConfig = this.pod(status?.metadata?.name ?? "");
    const request = { podSandboxId: podId, config, sandboxConfig };
    return (await this.runtime.createContainer(this.ctx, request)).containerId;
  }

  /** The same, started. */
  async start(podId: string, name: string, script: string, parts: ContainerParts = {}): Promise<string> {
    const containerId = await this.create(podId, name, script, parts);
    await this.runtime.startContainer(this.ctx, { containerId });
    return containerId;
  }

  /** Runs a program in a container. @returns what it prints on both outputs, and its exit code */
  async exec(containerId: string, ...cmd: string[]): Promise<{ text: string; exitCode: number }> {
    const { stdout, stderr, exitCode } = await this.runtime.execSync(this.ctx, { containerId, cmd, timeout: 30n });
    return { text: `${Buffer.from(stdout)}${Buffer.from(stderr)}`, exitCode };
  }

  /** The status of a container once it is in a state. */
  async inState(containerId: string, state: number): Promise<NonNullable<Awaited<ReturnType<CriHarness["status"]>>>> {
    return until(`container in state ${state}`, async () => {
      const status = await this.status(containerId);
      return status?.state === state ? status : undefined;
    });
  }

  async status(containerId: string) {
    return (await this.runtime.containerStatus(this.ctx, { containerId, verbose: false })).status;
  }

  /** Removes every pod. @returns what is left of them */
  async removePods(): Promise<string[]> {
    const { items } = await this.runtime.listPodSandbox(this.ctx, { filter: undefined });
    await Promise.all(items.map(({ id }) => this.runtime.removePodSandbox(this.ctx, { podSandboxId: id })));
    return this.leftovers();
  }

  /** Directories of pods and containers that are there, and their network namespaces. */
  leftovers(): string[] {
    const { root, state } = this.h.daemon;
    const kinds = [root, state].flatMap((base) =>
      ["sandboxes", "containers"].map((kind) => join(base, "io.containerd.grpc.v1.cri", kind)),
    );
    const namespaces = list("/var/run/netns").filter((path) => [...this.#pods].some((id) => path.endsWith(id)));
    return [...kinds.flatMap((directory) => list(directory)), ...namespaces];
  }

  async close(): Promise<void> {
    try {
      await this.removePods();
    } finally {
      this.channel[Symbol.dispose]();
      await this.h.close();
      removeNamespaceDirectories("k8s.io");
      this.#remove();
    }
  }
}
