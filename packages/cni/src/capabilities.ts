/**
 * What a runtime asks of plugins that can do it (capability arguments, `runtimeConfig`).
 *
 * @module
 */

/** A port of the host that leads to one of the container. */
export interface PortMapping {
  readonly hostPort: number;
  readonly containerPort: number;
  /** Lower-case. */
  readonly protocol: "tcp" | "udp" | "sctp";
  /** Address of the host; all when it is missing. */
  readonly hostIP?: string;
}

/** Limits in bits per second and bits. */
export interface Bandwidth {
  readonly ingressRate?: number;
  readonly ingressBurst?: number;
  readonly egressRate?: number;
  readonly egressBurst?: number;
}

/** DNS settings for plugins that keep them. */
export interface DnsCapability {
  readonly servers?: readonly string[];
  readonly searches?: readonly string[];
  readonly options?: readonly string[];
}

/** Arguments by capability. Each plugin gets those that its configuration declares; others are dropped. */
export interface CapabilityArgs {
  readonly portMappings?: readonly PortMapping[];
  readonly bandwidth?: Bandwidth;
  readonly dns?: DnsCapability;
  /** Addresses with the length of the prefix. */
  readonly ips?: readonly string[];
  readonly mac?: string;
  readonly aliases?: readonly string[];
  readonly cgroupPath?: string;
  readonly deviceID?: string;
  readonly infinibandGUID?: string;
  readonly ipRanges?: readonly (readonly { readonly subnet: string }[])[];
  /** Of others, as `io.kubernetes.cri.pod-annotations`. */
  readonly [capability: string]: unknown;
}

/** The arguments that a plugin has asked for. */
export function declaredArgs(capabilities: unknown, args: CapabilityArgs): Record<string, unknown> | undefined {
  const declared = typeof capabilities === "object" && capabilities !== null ? Object.entries(capabilities) : [];
  const wanted = declared.flatMap(([name, on]): [string, unknown][] =>
    on === true && Object.hasOwn(args, name) && args[name] !== undefined ? [[name, args[name]]] : [],
  );
  return wanted.length === 0 ? undefined : Object.fromEntries(wanted);
}
