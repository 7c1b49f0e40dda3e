/** Runtime handlers: what a RuntimeClass of Kubernetes means here. */
import type { PodSandboxConfig } from "@ctrd/api/cri/runtime/v1/api";
import { NamespaceMode } from "@ctrd/api/cri/runtime/v1/api";
import { invalidArgument, notFound } from "@ctrd/core/errors";
import type { HandlerConfig, RuntimeConfig } from "../config/runtime-config.ts";

const untrustedAnnotation = "io.kubernetes.cri.untrusted-workload";
const untrustedHandler = "untrusted";

/**
 * The name of the handler of a pod: as asked for, else the untrusted one when the pod says that it is, else empty.
 *
 * @throws ContainerdError `invalid-argument` for an untrusted pod with another handler or with namespaces of the host
 */
export function handlerName(config: PodSandboxConfig, asked: string): string {
  if (config.annotations.get(untrustedAnnotation) !== "true") return asked;
  if (asked !== "" && asked !== untrustedHandler) {
    throw invalidArgument(`an untrusted pod cannot have the runtime handler "${asked}"; leave one of both out`);
  }
  const options = config.linux?.securityContext?.namespaceOptions;
  if ([options?.network, options?.pid, options?.ipc].includes(NamespaceMode.NODE)) {
    throw invalidArgument("an untrusted pod cannot have namespaces of the host");
  }
  return untrustedHandler;
}

/** The configuration of a handler; the default one's for an empty name. */
export function handlerConfig({ containerd }: RuntimeConfig, name: string): HandlerConfig {
  const key = name === "" ? containerd.default_runtime_name : name;
  const handler = Object.hasOwn(containerd.runtimes, key) ? containerd.runtimes[key] : undefined;
  if (handler !== undefined) return handler;
  const known = Object.keys(containerd.runtimes).join(", ") || "none";
  throw notFound(`no runtime for "${key}" is configured (configured: ${known})`);
}
