/** A daemon of a side that serves CRI, with a network, and the calls that a kubelet makes. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  ContainerConfig,
  ImageServiceDefinition,
  ImageSpec,
  NamespaceMode,
  PodSandboxConfig,
  PodSandboxFilter,
  PodSandboxState,
  RuntimeServiceDefinition,
} from "@ctrd/api/cri/runtime/v1/api";
import { createContext, type CallContext } from "@ctrd/core/context";
import { openChannel, type RpcChannel, type RpcClient } from "@ctrd/services";
import { busyboxImage, pushImage, tempDir, type TempDir, type TestDaemon } from "@ctrd/testkit/fixtures";
import type { Side } from "../side.ts";
import type { BenchContext } from "../work.ts";

/** A pod with its container. */
export interface StartedPod {
  readonly podSandboxId: string;
  readonly containerId: string;
}

const sides = new Map<Side, Promise<CriSide>>();

/** The daemon of a side; it is started with the first work that asks, and ends with the side. */
export function criSide(side: Side, context: BenchContext): Promise<CriSide> {
  const known = sides.get(side) ?? openCriSide(side, context);
  sides.set(side, known);
  return known;
}

async function openCriSide(side: Side, { registry }: BenchContext): Promise<CriSide> {
  const dir = await tempDir(`cri-${side.name}-`);
  const networks = join(dir.path, "net.d");
  await mkdir(networks);
  await writeFile(join(networks, "10-bench.conflist"), JSON.stringify(network(side, dir.path)));
  const forever = { config: { Cmd: ["sleep", "1000000"] } };
  const image = await pushImage(registry, "bench/cri", "1", await busyboxImage(forever));
  const daemon = await side.startCri(join(dir.path, "d"), { pauseImage: image, networks });
  const opened = new CriSide(side, daemon, dir, image);
  side.own(opened);
  await opened.pull(image);
  return opened;
}

/** Each side has a bridge and addresses of its own. */
function network({ name }: Side, directory: string): unknown {
  const [bridge, subnet] = name === "ours" ? ["bench0", "10.91.0.0/16"] : ["bench1", "10.92.0.0/16"];
  const ipam = {
    type: "host-local",
    dataDir: join(directory, "ipam"),
    ranges: [[{ subnet }]],
    routes: [{ dst: "0.0.0.0/0" }],
  };
  return {
    cniVersion: "1.0.0",
    name: `bench-${name}`,
    plugins: [
      { type: "bridge", bridge, isGateway: true, ipMasq: true, promiscMode: true, ipam },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  };
}

export class CriSide implements AsyncDisposable {
  readonly daemon: TestDaemon;
  /** The image of pods and containers. */
  readonly image: string;
  readonly #side: Side;
  readonly #dir: TempDir;
  #channel: RpcChannel;
  #count = 0;

  constructor(side: Side, daemon: TestDaemon, dir: TempDir, image: string) {
    [this.#side, this.daemon, this.#dir, this.image] = [side, daemon, dir, image];
    this.#channel = openChannel(daemon.address);
  }

  get runtime(): RpcClient<typeof RuntimeServiceDefinition> {
    return this.#channel.client(RuntimeServiceDefinition);
  }

  get channel(): RpcChannel {
    return this.#channel;
  }

  /** For calls of containerd's own services. */
  get ctx(): CallContext {
    return createContext({ namespace: "k8s.io", signal: AbortSignal.timeout(300_000) });
  }

  async pull(image: string): Promise<void> {
    const images = this.#channel.client(ImageServiceDefinition);
    await images.pullImage(this.ctx, {
      image: ImageSpec.fromPartial({ image }),
      auth: undefined,
      sandboxConfig: undefined,
    });
  }

  /** The configuration of a pod as a kubelet writes it. */
  pod(parts: Parameters<typeof PodSandboxConfig.fromPartial>[0] = {}): PodSandboxConfig {
    const name = `pod-${this.#side.name}-${this.#count++}`;
    return PodSandboxConfig.fromPartial({
      metadata: { name, uid: `uid-${name}`, namespace: "bench", attempt: 0 },
      hostname: name,
      logDirectory: join(this.#dir.path, "logs", name),
      labels: new Map([
        ["app", "bench"],
        ["io.kubernetes.pod.name", name],
        ["io.kubernetes.pod.namespace", "bench"],
        ["io.kubernetes.pod.uid", `uid-${name}`],
      ]),
      annotations: new Map([
        ["kubernetes.io/config.seen", "2026-01-01T00:00:00.000000000Z"],
        ["kubernetes.io/config.source", "file"],
      ]),
      linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } },
      ...parts,
    });
  }

  async runPod(config: PodSandboxConfig): Promise<string> {
    await mkdir(config.logDirectory, { recursive: true });
    return (await this.runtime.runPodSandbox(this.ctx, { config, runtimeHandler: "" })).podSandboxId;
  }

  async createContainer(podSandboxId: string, pod: PodSandboxConfig, name: string): Promise<string> {
    const config = ContainerConfig.fromPartial({
      metadata: { name, attempt: 0 },
      image: { image: this.image },
      logPath: `${name}.log`,
      envs: [{ key: "KUBERNETES_SERVICE_HOST", value: Buffer.from("10.0.0.1") }],
      labels: new Map([
        ["io.kubernetes.container.name", name],
        ["io.kubernetes.pod.name", pod.metadata?.name ?? ""],
        ["io.kubernetes.pod.namespace", "bench"],
        ["io.kubernetes.pod.uid", pod.metadata?.uid ?? ""],
      ]),
      annotations: new Map([
        ["io.kubernetes.container.hash", "5c2e8cdb"],
        ["io.kubernetes.container.restartCount", "0"],
        ["io.kubernetes.container.terminationMessagePath", "/dev/termination-log"],
      ]),
      linux: { resources: { cpuShares: 100n, memoryLimitInBytes: 64n << 20n } },
    });
    const request = { podSandboxId, config, sandboxConfig: pod };
    return (await this.runtime.createContainer(this.ctx, request)).containerId;
  }

  /** RunPodSandbox, CreateContainer and StartContainer. */
  async startPod(): Promise<StartedPod> {
    const pod = this.pod();
    const podSandboxId = await this.runPod(pod);
    const containerId = await this.createContainer(podSandboxId, pod, "main");
    await this.runtime.startContainer(this.ctx, { containerId });
    return { podSandboxId, containerId };
  }

  async removePod(podSandboxId: string): Promise<void> {
    await this.runtime.stopPodSandbox(this.ctx, { podSandboxId });
    await this.runtime.removePodSandbox(this.ctx, { podSandboxId });
  }

  /** Starts the daemon again, and waits until it serves CRI. */
  async restart(): Promise<void> {
    this.#channel.close();
    await this.daemon.restart();
    this.#channel = openChannel(this.daemon.address);
    await this.#channel.ready();
    await this.#recovered();
  }

  /** Waits until the daemon has found again what it has: it refuses calls before. */
  async #recovered(): Promise<void> {
    const limit = AbortSignal.timeout(60_000);
    for (;;) {
      try {
        await this.runtime.listPodSandbox(this.ctx, { filter: undefined });
        return;
      } catch (error) {
        if (limit.aborted) throw error;
        await sleep(100);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { items } = await this.runtime.listPodSandbox(this.ctx, {
      filter: PodSandboxFilter.fromPartial({ state: { state: PodSandboxState.SANDBOX_READY } }),
    });
    for (const { id } of items) await this.removePod(id);
    this.#channel.close();
    await this.daemon[Symbol.asyncDispose]();
    await this.#dir[Symbol.asyncDispose]();
  }
}
