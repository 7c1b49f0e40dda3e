/** Version, Status and RuntimeConfig: what the runtime is and whether it is ready. */
import type { RuntimeCondition, RuntimeHandler, StatusResponse, VersionResponse } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import type { NetworkStatus } from "../sandboxes/network.ts";
import type { Cri } from "../store/cri.ts";

/** Version of the interface as kubelet has always been told it. */
const kubeletVersion = "0.1.0";

export function versionOf(cri: Cri): VersionResponse {
  return {
    version: kubeletVersion,
    runtimeName: "containerd",
    runtimeVersion: cri.daemon.version,
    runtimeApiVersion: "v1",
  };
}

export async function statusOf(cri: Cri, ctx: CallContext, verbose: boolean): Promise<StatusResponse> {
  const networks = await cri.network.status(ctx);
  return {
    status: { conditions: conditions(networks) },
    info: new Map(verbose ? verboseInfo(cri, networks) : []),
    runtimeHandlers: await handlers(cri),
    features: { supplementalGroupsPolicy: true, userNamespacesHostNetwork: true },
  };
}

function conditions(networks: readonly NetworkStatus[]): RuntimeCondition[] {
  const ready = { status: true, reason: "", message: "" };
  const problem = networks.find((network) => network.problem !== undefined)?.problem;
  return [
    { type: "RuntimeReady", ...ready },
    problem === undefined
      ? { type: "NetworkReady", ...ready }
      : {
          type: "NetworkReady",
          status: false,
          reason: "NetworkPluginNotReady",
          message: `Network plugin returns error: ${problem}`,
        },
    { type: "ContainerdHasNoDeprecationWarnings", ...ready },
  ];
}

/** Every handler, and the default one once more under the empty name. */
function handlers(cri: Cri): Promise<RuntimeHandler[]> {
  const names = ["", ...Object.keys(cri.config.containerd.runtimes)].toSorted();
  return Promise.all(names.map(async (name) => ({ name, features: { ...(await cri.features.of(name)) } })));
}

function verboseInfo(cri: Cri, networks: readonly NetworkStatus[]): [string, string][] {
  const [first] = networks;
  return [
    ["config", JSON.stringify(cri.config)],
    ["golang", process.version],
    ["cniconfig", JSON.stringify(cri.network.describe())],
    ["lastCNILoadStatus", first?.problem ?? "OK"],
    ...networks.map(({ name, problem }): [string, string] => [`lastCNILoadStatus.${name}`, problem ?? "OK"]),
  ];
}
