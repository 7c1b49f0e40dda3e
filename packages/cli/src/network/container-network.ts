/**
 * What the network of a container means for its spec, its labels, and its directory.
 *
 * @module
 */
import type { Container } from "@ctrd/client";
import type { PortMapping } from "@ctrd/cni";
import { removeNamespace } from "@ctrd/cni";
import { messageOf } from "@ctrd/core/errors";
import type { Hook, SpecOption } from "@ctrd/oci";
import {
  compose,
  withHooks,
  withHostHosts,
  withHostNamespace,
  withHostResolvConf,
  withMounts,
  withNamespace,
} from "@ctrd/oci";
import { directoryOf } from "../containers/directory.ts";
import { findContainer } from "../containers/find.ts";
import { nameOf, networksLabel, portsLabel } from "../containers/labels.ts";
import { hookCommand } from "../containers/self.ts";
import { taskOf } from "../containers/state.ts";
import { CommandFailure } from "../failure.ts";
import type { Session } from "../session.ts";
import { fileMounts, parseHost, writeFiles } from "./container-files.ts";
import type { NetworkChoice, NetworkFlags } from "./flags.ts";
import { addressesOf, aliasesOf, chooseNetwork, macOf, portsOf } from "./flags.ts";
import { checkPortsFree } from "./port-owners.ts";
import { portsText } from "./ports.ts";
import { readRequest, readState, writeRequest } from "./request.ts";
import { networkSettings } from "./settings.ts";
import { namespacePath, releaseEnded, takeDown } from "./set-up.ts";

/** What is known before a container is made. */
export interface NetworkPlan {
  readonly choice: NetworkChoice;
  readonly ports: readonly PortMapping[];
  readonly labels: ReadonlyMap<string, string>;
}

/** Reads the flags of a container that is to be made. @throws CommandFailure before anything was done */
export async function planNetwork(flags: NetworkFlags): Promise<NetworkPlan> {
  const settings = networkSettings();
  const choice = await chooseNetwork(settings, flags);
  const ports = await portsOf(settings, flags);
  // Said before anything is pulled.
  for (const check of [addressesOf, aliasesOf, macOf]) check(flags);
  for (const text of flags.addHost ?? []) parseHost(text);
  const labels = new Map<string, string>();
  if (choice.kind === "networks") labels.set(networksLabel, choice.names.join(" "));
  if (ports.length > 0) labels.set(portsLabel, JSON.stringify(ports));
  return { choice, ports, labels };
}

/** Prepares the network of a container, in its directory. @returns what its spec needs for that */
export async function prepareNetwork(
  session: Session,
  plan: NetworkPlan,
  container: { readonly id: string; readonly name: string; readonly hostname: string; readonly directory: string },
  flags: NetworkFlags,
): Promise<SpecOption> {
  const { choice, ports } = plan;
  const { id, name, hostname, directory } = container;
  if (choice.kind === "container") return joined(session, choice.container);
  const hosts = (flags.addHost ?? []).map(parseHost);
  const hasOwnFiles = hosts.length > 0 || flags.dns !== undefined || flags.dnsSearch !== undefined;
  if (choice.kind === "host" && !hasOwnFiles) {
    return compose(withHostNamespace("network"), withHostHosts(), withHostResolvConf());
  }
  await writeFiles(directory, { hostname, hosts, dns: flags });
  const files = withMounts(...fileMounts(directory));
  if (choice.kind === "host") return compose(withHostNamespace("network"), files);
  if (choice.kind === "none") return files;
  const mac = macOf(flags);
  await writeRequest(directory, {
    ...{ id, name, hostname, ports, hosts, networks: choice.names },
    ips: addressesOf(flags),
    aliases: aliasesOf(flags),
    ...(mac === undefined ? {} : { mac }),
    settings: networkSettings(),
  });
  return compose(
    files,
    withHooks("createRuntime", hook("up", directory)),
    withHooks("poststop", hook("down", directory)),
  );
}

/** Seconds; plugins have two minutes each. */
const hookTimeout = 300;

function hook(what: "up" | "down", directory: string): Hook {
  const [path = "", ...args] = hookCommand(what, directory);
  return { path, args: [path, ...args], env: [`PATH=${process.env["PATH"] ?? ""}`], timeout: hookTimeout };
}

/** The network of another container, which has to run whenever this one starts. */
async function joined(session: Session, name: string): Promise<SpecOption> {
  const target = await findContainer(session, name);
  const directory = directoryOf(target);
  if (directory !== undefined && (await readRequest(directory)) !== undefined) {
    return compose(withNamespace("network", namespacePath(target.id)), withMounts(...fileMounts(directory)));
  }
  const namespace = (await target.spec()).linux?.namespaces?.find(({ type }) => type === "network");
  if (namespace === undefined) {
    return compose(withHostNamespace("network"), withHostHosts(), withHostResolvConf());
  }
  const task = await taskOf(session, target);
  if (namespace.path === undefined && task === undefined) {
    throw new CommandFailure(`--net container:${name}: it does not run`, {
      exitCode: 125,
      remedy: `start it first: ctrd start ${name}`,
    });
  }
  return withNamespace("network", namespace.path ?? `/proc/${task?.pid ?? 0}/ns/net`);
}

/** Gives a container another name, for others: they see it when one of them is started next. */
export async function renameInNetwork(container: Container, name: string): Promise<void> {
  const directory = directoryOf(container);
  const request = directory === undefined ? undefined : await readRequest(directory);
  if (directory !== undefined && request !== undefined) await writeRequest(directory, { ...request, name });
}

/** Looks whether the ports of a container are free, to say it before anything is begun. */
export async function checkNetwork(container: Container): Promise<void> {
  const directory = directoryOf(container);
  const request = directory === undefined ? undefined : await readRequest(directory);
  if (directory === undefined || request === undefined) return;
  // It may have run, and its network be on its way out; that of others too.
  await releaseEnded(request.ports, request.settings.root);
  await checkPortsFree(request.ports, request.settings.root, directory);
}

/**
 * Takes down what is left of the network of a container that was removed: usually its runtime has done so.
 *
 * @throws CommandFailure that says what could not be
 */
export async function forgetNetwork(container: Container): Promise<void> {
  const directory = directoryOf(container);
  if (directory === undefined) return;
  try {
    await takeDown(directory, "removed");
  } catch (error) {
    await removeNamespace(namespacePath(container.id));
    const name = nameOf(container.labels) || container.id;
    throw new CommandFailure(
      `container "${name}" is removed, but something of its network is left: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}

/** The ports of a container that runs, as `ps` shows them. */
export function publishedText(container: Container): string {
  return portsText(publishedPorts(container));
}

function publishedPorts({ labels }: Container): PortMapping[] {
  const text = labels.get(portsLabel);
  return text === undefined ? [] : (JSON.parse(text) as PortMapping[]);
}

/** What `inspect` shows: Docker's keys. */
export async function networkFacts(container: Container): Promise<Record<string, unknown>> {
  const directory = directoryOf(container);
  const request = directory === undefined ? undefined : await readRequest(directory);
  if (directory === undefined || request === undefined) return {};
  const state = await readState(directory);
  const Ports: Record<string, { HostIp: string; HostPort: string }[]> = {};
  for (const { containerPort, protocol, hostIP = "0.0.0.0", hostPort } of request.ports) {
    (Ports[`${containerPort}/${protocol}`] ??= []).push({ HostIp: hostIP, HostPort: String(hostPort) });
  }
  const Networks = request.networks.map((name): [string, unknown] => {
    const own = state?.interfaces.find(({ network }) => network === name);
    const [v4, v6] = [4, 6].map((version) => own?.addresses.find(({ ip }) => ip.includes(":") === (version === 6)));
    return [
      name,
      {
        Interface: own?.name ?? "",
        MacAddress: own?.mac ?? "",
        IPAddress: v4?.ip ?? "",
        IPPrefixLen: v4?.prefix ?? 0,
        Gateway: v4?.gateway ?? "",
        GlobalIPv6Address: v6?.ip ?? "",
        GlobalIPv6PrefixLen: v6?.prefix ?? 0,
        IPv6Gateway: v6?.gateway ?? "",
      },
    ];
  });
  const SandboxKey = state?.netns ?? "";
  return { NetworkSettings: { SandboxKey, Ports, Networks: Object.fromEntries(Networks) } };
}
