/**
 * The operations of the CNI specification over whole networks.
 *
 * @module
 */
import { failedPrecondition, invalidArgument, messageOf } from "@ctrd/core/errors";
import type { CapabilityArgs } from "./capabilities.ts";
import { declaredArgs } from "./capabilities.ts";
import type { NetworkConfig, PluginConfig } from "./config.ts";
import { isObject, textOf } from "./json.ts";
import { checkContainerId, checkInterfaceName } from "./names.ts";
import type { CniOperation } from "./plugin-error.ts";
import { describeCall, pluginError, shorten } from "./plugin-error.ts";
import { findPlugin, pluginEnvironment, runPlugin } from "./plugin-program.ts";
import type { AttachmentKey, CachedAttachment } from "./result-cache.ts";
import { ResultCache } from "./result-cache.ts";
import type { NetworkResult } from "./result.ts";
import { emptyResult, encodeResult, parseResult } from "./result.ts";
import { versionAtLeast } from "./versions.ts";

/** Options of {@link Cni}. */
export interface CniOptions {
  /** Where plugins are looked for, in this order. */
  readonly pluginDirectories: readonly string[];
  /** Where results are kept; `/var/lib/cni` as libcni has it. */
  readonly cacheDirectory?: string;
  /** Milliseconds after which a plugin is killed; two minutes by default. */
  readonly timeoutMs?: number;
}

/** A container's interface, to be on a network. */
export interface Attachment {
  readonly containerId: string;
  /** Path of its network namespace; empty for a DEL when that is gone. */
  readonly netns: string;
  readonly ifName: string;
  /** `CNI_ARGS`, in this order. */
  readonly args?: Readonly<Record<string, string>>;
  readonly capabilities?: CapabilityArgs;
  readonly signal?: AbortSignal;
}

/** An attachment that is in use, for {@link Cni.gc}. */
export interface ValidAttachment {
  readonly containerId: string;
  readonly ifName: string;
}

const defaultTimeoutMs = 120_000;
const defaultCacheDirectory = "/var/lib/cni";

/** One operation over the plugins of a network. */
interface Round {
  readonly operation: CniOperation;
  readonly network: NetworkConfig;
  readonly env: Readonly<Record<string, string>>;
  readonly capabilities: CapabilityArgs;
  readonly more?: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal;
}

/** Runs the plugins of networks. */
export class Cni {
  readonly #directories: readonly string[];
  readonly #cache: ResultCache;
  readonly #timeoutMs: number;

  constructor(options: CniOptions) {
    this.#directories = options.pluginDirectories;
    this.#cache = new ResultCache(options.cacheDirectory ?? defaultCacheDirectory);
    this.#timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  }

  /**
   * Attaches a container: ADD of each plugin, with the result of the one before it. A failure leaves what earlier plugins
   * did: call {@link Cni.del}.
   *
   * @throws CniPluginError of the plugin that failed; ContainerdError `not-found` when one is not installed
   */
  async add(network: NetworkConfig, attachment: Attachment): Promise<NetworkResult> {
    const round = roundOf("ADD", network, attachment);
    let result: NetworkResult | undefined;
    for (const plugin of network.plugins) {
      const stdout = await this.#call(round, plugin, result);
      result = this.#resultOf(round, plugin, stdout);
    }
    const { containerId, ifName, netns, args = {}, capabilities = {} } = attachment;
    const key = { network: network.name, containerId, ifName };
    const kept = { netns, config: network, args: Object.entries(args), capabilities };
    await this.#cache.put({ ...key, ...kept, result: result ?? emptyResult });
    return result ?? emptyResult;
  }

  /**
   * Checks that an attachment is as ADD left it.
   *
   * @throws CniPluginError that says what is not; ContainerdError `failed-precondition` when it was never attached, or the
   * configuration's version has no CHECK
   */
  async check(network: NetworkConfig, attachment: Attachment): Promise<void> {
    if (!versionAtLeast(network.cniVersion, "0.4.0")) {
      const said = `its cniVersion ${network.cniVersion} has no CHECK`;
      throw failedPrecondition(`network "${network.name}": CHECK: ${said} (0.4.0 and newer have)`);
    }
    if (network.disableCheck) return;
    const cached = await this.#cache.get(keyOf(network, attachment));
    if (cached === undefined) {
      const { containerId, ifName } = attachment;
      throw failedPrecondition(`network "${network.name}": CHECK: ${ifName} of "${containerId}" was never attached`);
    }
    const round = roundOf("CHECK", network, withCached(attachment, cached));
    for (const plugin of network.plugins) await this.#call(round, plugin, cached.result);
  }

  /**
   * Detaches a container, with the configuration that it was attached with: DEL of each plugin, the last one first. It may
   * be called again, and without an attachment.
   *
   * @throws CniPluginError of the first plugin that failed; those before it are not called
   */
  async del(network: NetworkConfig, attachment: Attachment): Promise<void> {
    const key = keyOf(network, attachment);
    const cached = await this.#cache.get(key);
    const config = cached?.config ?? network;
    const round = roundOf("DEL", config, cached === undefined ? attachment : withCached(attachment, cached));
    const previous = versionAtLeast(config.cniVersion, "0.4.0") ? cached?.result : undefined;
    for (const plugin of config.plugins.toReversed()) await this.#call(round, plugin, previous);
    await this.#cache.remove(key);
  }

  /**
   * Whether containers can be attached: the plugins are there and, from version 1.1.0 on, say so themselves.
   *
   * @throws CniPluginError or ContainerdError with the reason
   */
  async status(network: NetworkConfig, signal?: AbortSignal): Promise<void> {
    const round = { operation: "STATUS", network, env: {}, capabilities: {}, ...(signal && { signal }) } as const;
    for (const plugin of network.plugins) {
      const ipam = isObject(plugin["ipam"]) ? textOf(plugin["ipam"]["type"]) : undefined;
      for (const type of [plugin.type, ...(ipam === undefined ? [] : [ipam])]) {
        await findPlugin(type, this.#directories, `network "${network.name}"`);
      }
      if (versionAtLeast(network.cniVersion, "1.1.0")) await this.#call(round, plugin, undefined);
    }
  }

  /** Detaches all that is attached to a network but these, and lets plugins (from 1.1.0 on) clean up what they keep. */
  async gc(network: NetworkConfig, valid: readonly ValidAttachment[], signal?: AbortSignal): Promise<void> {
    if (network.disableGc) return;
    const inUse = new Set(valid.map(({ containerId, ifName }) => `${containerId}/${ifName}`));
    const stop = signal === undefined ? {} : { signal };
    for (const { containerId, ifName, netns } of await this.#cache.list(network.name)) {
      if (!inUse.has(`${containerId}/${ifName}`)) await this.del(network, { containerId, ifName, netns, ...stop });
    }
    if (!versionAtLeast(network.cniVersion, "1.1.0")) return;
    const attachments = valid.map(({ containerId, ifName }) => ({ containerID: containerId, ifname: ifName }));
    const more = { "cni.dev/valid-attachments": attachments, "cni.dev/attachments": attachments };
    const round = { operation: "GC", network, env: {}, capabilities: {}, more, ...stop } as const;
    for (const plugin of network.plugins) await this.#call(round, plugin, undefined);
  }

  /** What is kept of an attachment; undefined when there is none. */
  async attached(key: AttachmentKey): Promise<CachedAttachment | undefined> {
    return this.#cache.get(key);
  }

  /** Runs one plugin. @returns its output */
  async #call(round: Round, plugin: PluginConfig, previous: NetworkResult | undefined): Promise<string> {
    const { operation, network, signal } = round;
    const call = { operation, network: network.name, plugin: plugin.type };
    const what = describeCall(call);
    const runtimeConfig = declaredArgs(plugin["capabilities"], round.capabilities);
    const config = {
      ...plugin,
      ...round.more,
      name: network.name,
      cniVersion: network.cniVersion,
      ...(runtimeConfig === undefined ? {} : { runtimeConfig }),
      ...(previous === undefined ? {} : { prevResult: encodeResult(previous, network.cniVersion) }),
    };
    const env = { CNI_COMMAND: operation, CNI_PATH: this.#directories.join(":"), ...round.env };
    const output = await runPlugin({
      path: await findPlugin(plugin.type, this.#directories, what),
      env: pluginEnvironment(env),
      stdin: JSON.stringify(config),
      timeoutMs: this.#timeoutMs,
      ...(signal === undefined ? {} : { signal }),
      what,
    });
    if (output.exit !== 0) throw pluginError(call, output);
    return output.stdout;
  }

  #resultOf({ operation, network }: Round, plugin: PluginConfig, stdout: string): NetworkResult {
    try {
      return parseResult(JSON.parse(stdout));
    } catch (error) {
      const what = describeCall({ operation, network: network.name, plugin: plugin.type });
      const said = stdout.trim() === "" ? "it wrote no result" : `${messageOf(error)}: ${shorten(stdout.trim())}`;
      throw failedPrecondition(`${what}: ${said}`, { cause: error });
    }
  }
}

function keyOf(network: NetworkConfig, { containerId, ifName }: Attachment): AttachmentKey {
  checkContainerId(containerId);
  checkInterfaceName(ifName);
  return { network: network.name, containerId, ifName };
}

/** What the caller does not say is as it was at ADD. */
function withCached(attachment: Attachment, cached: CachedAttachment): Attachment {
  const { args = Object.fromEntries(cached.args), capabilities = cached.capabilities } = attachment;
  return { ...attachment, args, capabilities };
}

function roundOf(operation: CniOperation, network: NetworkConfig, attachment: Attachment): Round {
  const { containerId, ifName } = keyOf(network, attachment);
  const { netns, args = {}, capabilities = {}, signal } = attachment;
  const env = {
    CNI_CONTAINERID: containerId,
    CNI_NETNS: netns,
    CNI_IFNAME: ifName,
    ...(Object.keys(args).length === 0 ? {} : { CNI_ARGS: argsText(args) }),
  };
  return { operation, network, env, capabilities, ...(signal === undefined ? {} : { signal }) };
}

function argsText(args: Readonly<Record<string, string>>): string {
  return Object.entries(args)
    .map(([name, value]) => {
      if (!/^[^=;]+$/.test(name) || /[;\0]/.test(value)) {
        throw invalidArgument(`CNI_ARGS: ${name}=${value}: names have no "=" and ";", values no ";"`);
      }
      return `${name}=${value}`;
    })
    .join(";");
}
