/**
 * Networks of pods.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";
import type { PodSandboxConfig } from "@ctrd/api/cri/runtime/v1/api";
import type { AttachRequest, NetworksWatch } from "@ctrd/cni";
import { attachNetworks, Cni, detachNetworks, NetworkNamespace, removeNamespace, watchNetworks } from "@ctrd/cni";
import type { CallContext } from "@ctrd/core/context";
import { traced } from "@ctrd/core/tracing";
import { failedPrecondition, isKind, messageOf } from "@ctrd/core/errors";
import type { CriMetrics } from "../metrics.ts";
import type { CniConfig, RuntimeConfig } from "../config/runtime-config.ts";
import { networkArgs, networkCapabilities } from "./network-capabilities.ts";
import { writeNetworkTemplate } from "./network-template.ts";
import type { PodAddress } from "./pod-address.ts";
import { podAddress } from "./pod-address.ts";
import type { UserMappings } from "../spec/namespaces.ts";
import { createOwnedNetwork } from "./user-namespace.ts";

/** Whether pods can be put on networks. */
export interface NetworkStatus {
  /** Name of the configuration directory's owner: `default`, or a handler. */
  readonly name: string;
  /** Why they cannot; undefined when they can. */
  readonly problem: string | undefined;
}

/** A pod that is put on networks. */
export interface PodOnNetwork {
  readonly id: string;
  readonly config: PodSandboxConfig;
  readonly runtimeHandler: string;
  readonly netnsPath: string;
}

/** What a pod has got. */
export interface AttachedPod extends PodAddress {
  /** What the network programs answered, by interface. */
  readonly result: unknown;
}

/** Name of the networks of handlers that have none of their own. */
const defaultName = "default";

/** Puts pods on the networks that are configured, and takes them off. */
export class PodNetwork {
  readonly #config: CniConfig;
  readonly #cni: Cni;
  readonly #watches: ReadonlyMap<string, NetworksWatch>;
  readonly #namespaces: string;
  readonly #metrics: CriMetrics;

  private constructor(
    config: CniConfig,
    watches: ReadonlyMap<string, NetworksWatch>,
    namespaces: string,
    metrics: CriMetrics,
  ) {
    this.#metrics = metrics;
    this.#config = config;
    this.#watches = watches;
    this.#namespaces = namespaces;
    const directories = config.bin_dir === "" ? config.bin_dirs : [config.bin_dir];
    this.#cni = new Cni({ pluginDirectories: directories });
  }

  /** Begins to watch the configuration directories. @param state where namespaces are kept below when that is asked for */
  static async open(config: RuntimeConfig, state: string, metrics: CriMetrics): Promise<PodNetwork> {
    const { conf_dir, max_conf_num } = config.cni;
    const watches = new Map([[defaultName, await watchNetworks(conf_dir, { maxConfNum: max_conf_num })]]);
    for (const [name, handler] of Object.entries(config.containerd.runtimes)) {
      if (handler.cni_conf_dir === "") continue;
      watches.set(name, await watchNetworks(handler.cni_conf_dir, { maxConfNum: handler.cni_max_conf_num }));
    }
    const namespaces = config.netns_mounts_under_state_dir ? join(state, "netns") : "/var/run/netns";
    return new PodNetwork(config.cni, watches, namespaces, metrics);
  }

  close(): void {
    for (const watch of this.#watches.values()) watch[Symbol.dispose]();
  }

  /** How each configuration directory is, that of most handlers first. */
  async status(ctx: CallContext): Promise<NetworkStatus[]> {
    const all = [...this.#watches].map(async ([name, watch]) => ({ name, problem: await this.#problem(ctx, watch) }));
    return Promise.all(all);
  }

  async #problem(ctx: CallContext, watch: NetworksWatch): Promise<string | undefined> {
    const { networks, error } = watch.state.error === undefined ? watch.state : await watch.reload();
    if (networks === undefined) return messageOf(error);
    try {
      for (const network of networks) await this.#cni.status(network, ctx.signal);
      return undefined;
    } catch (failure) {
      return messageOf(failure);
    }
  }

  /** The configuration in force, for those who look into it. */
  describe(): unknown {
    const networks = this.#watch("").state.networks ?? [];
    return {
      PluginDirs: this.#config.bin_dirs,
      PluginConfDir: this.#config.conf_dir,
      Prefix: "eth",
      Networks: networks,
    };
  }

  /** Where the network namespace of a pod is, or will be: known beforehand, so that a crash leaves none that nobody knows. */
  namespacePath(id: string): string {
    return join(this.#namespaces, `cni-${id}`);
  }

  /**
   * Makes the network namespace of a pod; its loopback interface is up.
   *
   * @param user mappings of the pod's own user namespace, which has to own it
   */
  async createNamespace(path: string, user: UserMappings | undefined): Promise<void> {
    if (user === undefined) await NetworkNamespace.create(dirname(path), basename(path));
    else await createOwnedNetwork(path, user);
  }

  /** Removes a network namespace; one that is gone is fine. */
  async removeNamespace(path: string): Promise<void> {
    await removeNamespace(path);
  }

  /** Puts a pod on its networks. */
  async attach(ctx: CallContext, pod: PodOnNetwork): Promise<AttachedPod> {
    const request = this.#request(pod);
    const interfaces = await traced(ctx, "cni.attach", {}, () =>
      this.#metrics.network("set_up_pod", () => attachNetworks(this.#cni, { ...request, signal: ctx.signal })),
    );
    const addresses = interfaces.find(({ name }) => name === "eth0")?.addresses ?? [];
    const result = Object.fromEntries(interfaces.map(({ name, result: each }) => [name, each]));
    try {
      const address = podAddress(
        addresses.map(({ ip }) => ip),
        this.#config.ip_pref,
      );
      return { ...address, result };
    } catch (error) {
      await detachNetworks(this.#cni, request);
      throw error;
    }
  }

  /** Takes a pod off its networks; a namespace that is gone has nothing to be taken off, but addresses to be given back. */
  async detach(pod: PodOnNetwork): Promise<void> {
    const request = { ...this.#request(pod), netns: namespaceOrNone(pod.netnsPath) };
    await this.#metrics.network("tear_down_pod", () => detachNetworks(this.#cni, request));
  }

  /** Writes the network file of a pod CIDR, when there is a template and no network yet. */
  async setPodCidr(ctx: CallContext, podCidr: string): Promise<void> {
    const { conf_template: template, conf_dir: directory } = this.#config;
    if (podCidr === "" || template === "") return;
    const watch = this.#watch("");
    if ((await this.#problem(ctx, watch)) === undefined) return;
    await writeNetworkTemplate(template, directory, podCidr);
    await watch.reload();
  }

  #watch(handler: string): NetworksWatch {
    const watch = this.#watches.get(handler) ?? this.#watches.get(defaultName);
    if (watch === undefined) throw failedPrecondition("networks: closed");
    return watch;
  }

  #request({ id, config, runtimeHandler, netnsPath }: PodOnNetwork): AttachRequest {
    const { networks, error } = this.#watch(runtimeHandler).state;
    if (networks === undefined) {
      throw failedPrecondition(`no network for pods: ${messageOf(error)}`, { cause: error });
    }
    return { id, netns: netnsPath, networks, args: networkArgs(id, config), capabilities: networkCapabilities(config) };
  }
}

function namespaceOrNone(path: string): string {
  try {
    return path !== "" && NetworkNamespace.exists(path) ? path : "";
  } catch (error) {
    if (isKind(error, "not-found")) return "";
    throw error;
  }
}
