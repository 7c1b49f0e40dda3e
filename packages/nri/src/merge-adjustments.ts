/**
 * What several plugins change in a container that is about to be created.
 *
 * @module
 */
import type { Container, KeyValue, LinuxContainer, LinuxRdt } from "@ctrd/api/nri/v1alpha1/api";
import { ContainerAdjustment, Field, Hooks, LinuxContainerAdjustment } from "@ctrd/api/nri/v1alpha1/api";
import { claimResources, mergeResources } from "./merge-resources.ts";
import type { Owners } from "./owners.ts";
import { keyOf } from "./owners.ts";

/** Collects adjustments. Each plugin sees the container as those before it have left it. */
export class CollectedAdjustments {
  /** The container as adjusted so far. */
  container: Container;
  readonly adjust: ContainerAdjustment = ContainerAdjustment.create({ linux: {} });
  readonly #owners: Owners;

  constructor(container: Container, owners: Owners) {
    this.container = container;
    this.#owners = owners;
  }

  /**
   * Adds what a plugin asks for.
   *
   * @throws ContainerdError `failed-precondition` when another plugin has set the same thing
   */
  add(asked: ContainerAdjustment, plugin: string): void {
    const { adjust, container } = this;
    adjust.annotations = this.#map(Field.Annotations, adjust.annotations, asked.annotations, plugin);
    const list = <T>(field: number, collected: T[], added: T[], key: (item: T) => string): T[] =>
      this.#list(field, { collected, added, key }, plugin);
    adjust.mounts = list(Field.Mounts, adjust.mounts, asked.mounts, ({ destination }) => destination);
    adjust.env = list(Field.Env, adjust.env, asked.env, ({ key }) => key);
    adjust.CDIDevices = list(Field.CdiDevices, adjust.CDIDevices, asked.CDIDevices, ({ name }) => name);
    adjust.rlimits = list(Field.Rlimits, adjust.rlimits, asked.rlimits, ({ type }) => type);
    adjust.hooks = mergeHooks(adjust.hooks, asked.hooks);
    if (asked.args.length > 0) adjust.args = this.#args(asked.args, plugin);
    if (asked.linux !== undefined) this.#addLinux(LinuxContainerAdjustment.create(asked.linux), plugin);
    this.container = adjusted(container, asked);
  }

  #addLinux(asked: LinuxContainerAdjustment, plugin: string): void {
    const linux = this.adjust.linux as LinuxContainerAdjustment;
    const devices = { collected: linux.devices, added: asked.devices, key: ({ path }: { path: string }) => path };
    linux.devices = this.#list(Field.Devices, devices, plugin);
    const spaces = { collected: linux.namespaces, added: asked.namespaces, key: ({ type }: { type: string }) => type };
    linux.namespaces = this.#list(Field.Namespace, spaces, plugin);
    linux.sysctl = this.#map(Field.Sysctl, linux.sysctl, asked.sysctl, plugin);
    linux.netDevices = this.#map(Field.LinuxNetDevices, linux.netDevices, asked.netDevices, plugin);
    if (asked.resources !== undefined) {
      claimResources(asked.resources, (field, key) => this.#claim(field, key, plugin));
      linux.resources = mergeResources(linux.resources, asked.resources);
    }
    if (asked.cgroupsPath !== "") {
      this.#claim(Field.CgroupsPath, undefined, plugin);
      linux.cgroupsPath = asked.cgroupsPath;
    }
    const single = <K extends SingleField>(name: K, field: number): void => {
      if (asked[name] === undefined) return;
      this.#claim(field, undefined, plugin);
      linux[name] = asked[name];
    };
    single("oomScoreAdj", Field.OomScoreAdj);
    single("ioPriority", Field.IoPriority);
    single("seccompPolicy", Field.SeccompPolicy);
    single("scheduler", Field.LinuxSched);
    single("memoryPolicy", Field.MemoryPolicy);
    if (asked.rdt !== undefined) linux.rdt = this.#rdt(linux.rdt, asked.rdt, plugin);
  }

  #claim(field: number, key: string | undefined, plugin: string): void {
    this.#owners.claim(this.container.id, field, key ?? "", plugin);
  }

  #list<T>(field: number, lists: { collected: T[]; added: T[]; key: (item: T) => string }, plugin: string): T[] {
    const { collected, added, key } = lists;
    if (added.length === 0) return collected;
    const removals = added.filter((item) => keyOf(key(item)).removed);
    const gone = new Set(removals.map((item) => keyOf(key(item)).key));
    for (const name of gone) this.#owners.clear(this.container.id, field, name);
    const settings = added.filter((item) => !keyOf(key(item)).removed);
    for (const item of settings) this.#claim(field, key(item), plugin);
    // A plugin may set a thing again; the last setting counts.
    const again = new Set(settings.map(key));
    return [...collected.filter((item) => !gone.has(key(item)) && !again.has(key(item))), ...removals, ...settings];
  }

  #map<T>(field: number, collected: Map<string, T>, added: Map<string, T>, plugin: string): Map<string, T> {
    const key = ([name]: readonly [string, T]): string => name;
    return new Map(this.#list(field, { collected: [...collected], added: [...added], key }, plugin));
  }

  /** An empty first word takes the words over from another plugin. */
  #args(asked: readonly string[], plugin: string): string[] {
    const takesOver = asked[0] === "";
    if (takesOver) this.#owners.clear(this.container.id, Field.Args, "");
    this.#claim(Field.Args, undefined, plugin);
    return asked.slice(takesOver ? 1 : 0);
  }

  #rdt(collected: LinuxRdt | undefined, asked: LinuxRdt, plugin: string): LinuxRdt {
    const fields = [Field.RdtClosID, Field.RdtSchemata, Field.RdtEnableMonitoring] as const;
    if (asked.remove) for (const field of fields) this.#owners.clear(this.container.id, field, "");
    const base = asked.remove || collected === undefined ? undefined : collected;
    if (asked.closId !== undefined) this.#claim(Field.RdtClosID, undefined, plugin);
    if (asked.schemata !== undefined) this.#claim(Field.RdtSchemata, undefined, plugin);
    if (asked.enableMonitoring !== undefined) this.#claim(Field.RdtEnableMonitoring, undefined, plugin);
    return {
      closId: asked.closId ?? base?.closId,
      schemata: asked.schemata ?? base?.schemata,
      enableMonitoring: asked.enableMonitoring ?? base?.enableMonitoring,
      remove: asked.remove || (collected?.remove ?? false),
    };
  }
}

/** Fields of which a plugin sets the whole. */
type SingleField = "oomScoreAdj" | "ioPriority" | "seccompPolicy" | "scheduler" | "memoryPolicy";

function mergeHooks(collected: Hooks | undefined, added: Hooks | undefined): Hooks | undefined {
  if (collected === undefined || added === undefined) return collected ?? added;
  const names = Object.keys(collected) as (keyof Hooks)[];
  return Hooks.create(Object.fromEntries(names.map((name) => [name, [...collected[name], ...added[name]]])));
}

/** The container as one adjustment leaves it. */
function adjusted(container: Container, asked: ContainerAdjustment): Container {
  const { linux } = asked;
  return {
    ...container,
    annotations: changedMap(container.annotations, asked.annotations),
    mounts: changed(container.mounts, asked.mounts, ({ destination }) => destination),
    env: changed(container.env.map(keyValue), asked.env, ({ key }) => key).map(({ key, value }) => `${key}=${value}`),
    CDIDevices: changed(container.CDIDevices, asked.CDIDevices, ({ name }) => name),
    rlimits: changed(container.rlimits, asked.rlimits, ({ type }) => type),
    hooks: mergeHooks(container.hooks, asked.hooks),
    args: asked.args.length === 0 ? container.args : asked.args.slice(asked.args[0] === "" ? 1 : 0),
    linux: linux === undefined ? container.linux : adjustedLinux(container.linux, linux),
  };
}

function adjustedLinux(base: LinuxContainer | undefined, asked: LinuxContainerAdjustment): LinuxContainer | undefined {
  if (base === undefined) return undefined;
  const { resources } = asked;
  return {
    ...base,
    devices: changed(base.devices, asked.devices, ({ path }) => path),
    namespaces: changed(base.namespaces, asked.namespaces, ({ type }) => type),
    sysctl: changedMap(base.sysctl, asked.sysctl),
    netDevices: changedMap(base.netDevices, asked.netDevices),
    resources: resources === undefined ? base.resources : mergeResources(base.resources, resources),
    cgroupsPath: asked.cgroupsPath === "" ? base.cgroupsPath : asked.cgroupsPath,
    oomScoreAdj: asked.oomScoreAdj ?? base.oomScoreAdj,
    ioPriority: asked.ioPriority ?? base.ioPriority,
    seccompPolicy: asked.seccompPolicy ?? base.seccompPolicy,
    scheduler: asked.scheduler ?? base.scheduler,
    rdt: asked.rdt ?? base.rdt,
  };
}

function changed<T>(base: readonly T[], asked: readonly T[], key: (item: T) => string): T[] {
  const touched = new Set(asked.map((item) => keyOf(key(item)).key));
  return [...base.filter((item) => !touched.has(key(item))), ...asked.filter((item) => !keyOf(key(item)).removed)];
}

function changedMap<T>(base: ReadonlyMap<string, T>, asked: ReadonlyMap<string, T>): Map<string, T> {
  return new Map(changed([...base], [...asked], ([key]) => key));
}

function keyValue(text: string): KeyValue {
  const at = text.indexOf("=");
  return at === -1 ? { key: text, value: "" } : { key: text.slice(0, at), value: text.slice(at + 1) };
}
