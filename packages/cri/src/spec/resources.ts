/** Cgroup limits and the place in the cgroup tree. */
import { readFile } from "node:fs/promises";
import { posix } from "node:path";
import type { LinuxContainerResources } from "@ctrd/api/cri/runtime/v1/api";
import { failedPrecondition, invalidArgument } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import type { Cpu, Memory, SpecOption } from "@ctrd/oci";
import {
  compose,
  withCgroup,
  withCgroupParent,
  withCpu,
  withHugepageLimit,
  withMemory,
  withOomScoreAdj,
  withUnifiedResources,
} from "@ctrd/oci";
import type { SpecEnvironment } from "./environment.ts";

/** Part of the name of systemd's units. */
const unitPrefix = "cri-containerd";

/** Limits of a request; what it does not name (zero) stays as it is. */
export function withResources(
  resources: LinuxContainerResources | undefined,
  { host, settings }: Pick<SpecEnvironment, "host" | "settings">,
  log: Logger,
): SpecOption {
  if (resources === undefined) return () => {};
  return compose(
    withCpu(cpuLimits(resources)),
    withMemory(memoryLimits(resources, host.swapLimit)),
    withHugepages(resources, settings, host.hugetlb, log),
    resources.unified.size === 0 ? () => {} : withUnifiedResources(Object.fromEntries(resources.unified)),
  );
}

function cpuLimits(resources: LinuxContainerResources): Cpu {
  const { cpuPeriod, cpuQuota, cpuShares, cpusetCpus, cpusetMems } = resources;
  return {
    ...(cpuPeriod === 0n ? {} : { period: cpuPeriod }),
    ...(cpuQuota === 0n ? {} : { quota: cpuQuota }),
    ...(cpuShares === 0n ? {} : { shares: cpuShares }),
    ...(cpusetCpus === "" ? {} : { cpus: cpusetCpus }),
    ...(cpusetMems === "" ? {} : { mems: cpusetMems }),
  };
}

/** Without a limit of its own swap has that of memory: the container does not swap. */
function memoryLimits(resources: LinuxContainerResources, swapLimit: boolean): Memory {
  const { memoryLimitInBytes: limit, memorySwapLimitInBytes } = resources;
  const swap = memorySwapLimitInBytes === 0n ? limit : memorySwapLimitInBytes;
  return { ...(limit === 0n ? {} : { limit }), ...(swap === 0n || !swapLimit ? {} : { swap }) };
}

function withHugepages(
  { hugepageLimits }: LinuxContainerResources,
  settings: SpecEnvironment["settings"],
  present: boolean,
  log: Logger,
): SpecOption {
  if (settings.disable_hugetlb_controller || hugepageLimits.length === 0) return () => {};
  if (present) return compose(...hugepageLimits.map(({ pageSize, limit }) => withHugepageLimit(pageSize, limit)));
  if (!settings.tolerate_missing_hugetlb_controller) {
    throw failedPrecondition(
      "limits of huge pages are given but there is no hugetlb cgroup (set tolerate_missing_hugetlb_controller to go on)",
    );
  }
  log.warn({ limits: hugepageLimits.length }, "no hugetlb cgroup: limits of huge pages are left out");
  return () => {};
}

/**
 * The cgroup of a pod's process below the cgroup of the pod: a path, or a unit of systemd when the parent is a slice.
 *
 * @param systemd whether the runtime asks systemd: without a parent, the unit is in the slice that it chooses
 */
export function withPodCgroup(parent: string, systemd: boolean): SpecOption {
  if (parent !== "") {
    const isSlice = posix.basename(parent).endsWith(".slice");
    return withCgroupParent(parent, isSlice ? { systemd: true, prefix: unitPrefix } : {});
  }
  return systemd ? (context, spec) => withCgroup(`:${unitPrefix}:${context.id}`)(context, spec) : () => {};
}

/** How readily the kernel kills the process; with `restrict` not less than the daemon itself, which may be all it can set. */
export function withOomScore(score: bigint | number, restrict: boolean): SpecOption {
  const wanted = Number(score);
  if (!restrict) return withOomScoreAdj(wanted);
  return async (context, spec) => {
    const text = (await readFile("/proc/self/oom_score_adj", "utf8")).trim();
    await withOomScoreAdj(Math.max(wanted, Number(text)))(context, spec);
  };
}

/** A class of resources that pods ask for by annotations. */
export interface ResourceClass {
  /** `RDT` or `blockio` */
  name: string;
  /** Annotation of the container. */
  container: string;
  /** Beginning of the annotations of the pod: `…/container.<name>` and `…/pod`. */
  pod: string;
}

/** Cache and memory bandwidth (Intel RDT). */
export const rdtClass: ResourceClass = {
  name: "RDT",
  container: "io.kubernetes.cri.rdt-class",
  pod: "rdt.resources.beta.kubernetes.io",
};

/** Limits of block devices. */
export const blockioClass: ResourceClass = {
  name: "blockio",
  container: "io.kubernetes.cri.blockio-class",
  pod: "blockio.resources.beta.kubernetes.io",
};

/** What {@link checkResourceClass} looks at. */
export interface ClassRequest {
  containerName: string;
  annotations: ReadonlyMap<string, string>;
  podAnnotations: ReadonlyMap<string, string>;
  /** Whether a class that is asked for is only told in the log. */
  ignore: boolean;
}

/** Classes are not configured here: a container that asks for one is refused, or goes without. */
export function checkResourceClass(kind: ResourceClass, request: ClassRequest, log: Logger): void {
  const { containerName, annotations, podAnnotations, ignore } = request;
  const wanted =
    annotations.get(kind.container) ??
    podAnnotations.get(`${kind.pod}/container.${containerName}`) ??
    podAnnotations.get(`${kind.pod}/pod`);
  if (wanted === undefined) return;
  if (!ignore) {
    const setting = `ignore_${kind.name.toLowerCase()}_not_enabled_errors`;
    throw invalidArgument(
      `${kind.name} is not enabled: container "${containerName}" asks for class "${wanted}" (set ${setting} to go on)`,
    );
  }
  log.debug({ container: containerName, class: wanted, kind: kind.name }, "resource class is ignored");
}
