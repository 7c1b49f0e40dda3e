/** What network programs are told of a pod. */
import type { PodSandboxConfig } from "@ctrd/api/cri/runtime/v1/api";
import { Protocol } from "@ctrd/api/cri/runtime/v1/api";
import type { CapabilityArgs, PortMapping } from "@ctrd/cni";
import { invalidArgument } from "@ctrd/core/errors";

/** `CNI_ARGS` of a pod. */
export function networkArgs(id: string, { metadata }: PodSandboxConfig): Record<string, string> {
  return {
    IgnoreUnknown: "1",
    K8S_POD_NAMESPACE: metadata?.namespace ?? "",
    K8S_POD_NAME: metadata?.name ?? "",
    K8S_POD_INFRA_CONTAINER_ID: id,
    K8S_POD_UID: metadata?.uid ?? "",
  };
}

/** Capability arguments of a pod. */
export function networkCapabilities(config: PodSandboxConfig): CapabilityArgs {
  const { dnsConfig, annotations } = config;
  const portMappings = portMappingsOf(config);
  const bandwidth = bandwidthOf(annotations);
  const cgroupPath = config.linux?.cgroupParent ?? "";
  return {
    ...(portMappings.length === 0 ? {} : { portMappings }),
    ...(bandwidth === undefined ? {} : { bandwidth }),
    ...(dnsConfig === undefined
      ? {}
      : { dns: { servers: dnsConfig.servers, searches: dnsConfig.searches, options: dnsConfig.options } }),
    ...(cgroupPath === "" ? {} : { cgroupPath }),
    "io.kubernetes.cri.pod-annotations": Object.fromEntries(annotations),
  };
}

const protocols: ReadonlyMap<Protocol, PortMapping["protocol"]> = new Map([
  [Protocol.TCP, "tcp"],
  [Protocol.UDP, "udp"],
  [Protocol.SCTP, "sctp"],
]);

/** Only those with a port of the host are the network's business. */
function portMappingsOf({ portMappings }: PodSandboxConfig): PortMapping[] {
  return portMappings
    .filter(({ hostPort }) => hostPort > 0)
    .map(({ hostPort, containerPort, protocol, hostIp }) => ({
      hostPort,
      containerPort,
      protocol: protocols.get(protocol) ?? "tcp",
      ...(hostIp === "" ? {} : { hostIP: hostIp }),
    }));
}

const noBurstLimit = 4294967295;

function bandwidthOf(annotations: ReadonlyMap<string, string>): CapabilityArgs["bandwidth"] {
  const ingress = annotations.get("kubernetes.io/ingress-bandwidth");
  const egress = annotations.get("kubernetes.io/egress-bandwidth");
  if (ingress === undefined && egress === undefined) return undefined;
  return {
    ...(ingress === undefined ? {} : { ingressRate: parseQuantity(ingress), ingressBurst: noBurstLimit }),
    ...(egress === undefined ? {} : { egressRate: parseQuantity(egress), egressBurst: noBurstLimit }),
  };
}

const factors: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["m", 1e-3],
  ["k", 1e3],
  ["M", 1e6],
  ["G", 1e9],
  ["T", 1e12],
  ["Ki", 2 ** 10],
  ["Mi", 2 ** 20],
  ["Gi", 2 ** 30],
  ["Ti", 2 ** 40],
]);

/** A Kubernetes quantity, `10M` for example, as bits per second. */
function parseQuantity(text: string): number {
  const [, number = "", unit = ""] = /^(\d+(?:\.\d+)?)([a-zA-Z]*)$/.exec(text) ?? [];
  const factor = factors.get(unit);
  if (number === "" || factor === undefined) {
    throw invalidArgument(`bandwidth annotation "${text}" must be a quantity, for example 10M`);
  }
  return Math.ceil(Number(number) * factor);
}
