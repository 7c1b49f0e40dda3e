/**
 * RunPodSandbox.
 *
 * @module
 */
import type { RunPodSandboxRequest } from "@ctrd/api/cri/runtime/v1/api";
import { ContainerEventType, PodSandboxConfig } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import { withoutCancellation } from "@ctrd/core/context";
import { failedPrecondition, invalidArgument } from "@ctrd/core/errors";
import type { Any } from "@ctrd/core/records";
import type { Sandbox as SandboxRecord, SandboxController, SandboxInstance } from "@ctrd/core/sandboxes";
import { protoAny } from "@ctrd/core/typeurl";
import type { HandlerConfig } from "../config/runtime-config.ts";
import { publishEvent } from "../events/publish.ts";
import { nanosOf } from "../store/clock.ts";
import type { Cri } from "../store/cri.ts";
import { unlessGone } from "../store/unless-gone.ts";
import { newId, sandboxName } from "../store/ids.ts";
import { kindLabel } from "../store/labels.ts";
import { Stages } from "../store/stages.ts";
import { together } from "../store/together.ts";
import { handlerConfig, handlerName } from "./handlers.ts";
import { wantsNetworkFirst } from "./network-order.ts";
import { shimOf } from "./pause-controller.ts";
import { hasHostNetwork, podUserMappings } from "./pod-files.ts";
import { runtimeOptions } from "./runtime-options.ts";
import type { Sandbox, SandboxMetadata } from "./sandbox.ts";
import { encodeSandboxMetadata, sandboxExtension } from "./sandbox.ts";
import { watchSandbox } from "./watch.ts";

/** Runs a pod. When that fails everything is undone. @returns its id */
export async function runPodSandbox(cri: Cri, ctx: CallContext, request: RunPodSandboxRequest): Promise<string> {
  const { config } = request;
  if (config?.metadata === undefined) throw invalidArgument("run pod sandbox: config.metadata must be set");
  const id = newId();
  const name = sandboxName(config.metadata);
  const reservation = cri.sandboxNames.reserve(name, id, "begin");
  const stages = new Stages(`run pod sandbox "${name}"`, ctx, reservation);
  const metadata: SandboxMetadata = {
    id,
    name,
    config,
    runtimeHandler: "",
    netnsPath: "",
    ip: "",
    additionalIps: [],
    cniResult: undefined,
    processLabel: "",
  };
  const failed: { sandbox?: Sandbox } = {};
  try {
    const sandbox = await run(cri, ctx, stages, metadata, request.runtimeHandler, failed);
    reservation.stage = "ready";
    return sandbox.id;
  } catch (error) {
    // A pod that cannot be undone stays in the list, so that it can be removed.
    if (await stages.undo(ctx.log)) cri.sandboxNames.release(id);
    else if (failed.sandbox !== undefined) cri.sandboxes.add({ ...failed.sandbox, state: "notready", pid: 0 });
    throw error;
  }
}

async function run(
  cri: Cri,
  ctx: CallContext,
  stages: Stages,
  draft: SandboxMetadata,
  asked: string,
  failed: { sandbox?: Sandbox },
): Promise<Sandbox> {
  const cleaning = withoutCancellation(ctx);
  const { metadata, handler, controller } = await stages.run("runtime handler", async () => {
    const runtimeHandler = handlerName(draft.config, asked);
    const found = handlerConfig(cri.config, runtimeHandler);
    const netnsPath = hasHostNetwork(draft.config) ? "" : cri.network.namespacePath(draft.id);
    return { metadata: { ...draft, runtimeHandler, netnsPath }, handler: found, controller: controllerOf(cri, found) };
  });
  const { id } = metadata;
  const leases = cri.client.services.leasesService;
  const store = cri.client.services.sandboxStore;
  const [, record] = await together(
    ctx,
    (each) =>
      stages.run(
        "lease",
        () => leases.create(each, { id, labels: new Map() }),
        () => unlessGone(leases.delete(cleaning, id)),
      ),
    (each) =>
      stages.run(
        "record",
        () => store.create(each, recordOf(cri, metadata, handler)),
        () => unlessGone(store.delete(cleaning, id)),
      ),
  );
  failed.sandbox = sandboxOf(metadata, handler, record);
  const instance = await startOnNetwork(cri, ctx, stages, { metadata, handler, controller, record });
  const sandbox: Sandbox = {
    ...sandboxOf(metadata, handler, record, instance),
    state: "ready",
    pid: instance.pid,
  };
  await stages.run(
    "NRI",
    () => cri.nri.pod(ctx, "runPodSandbox", sandbox),
    () => cri.nri.quietly("undo a pod", () => cri.nri.pod(cleaning, "removePodSandbox", sandbox)),
  );
  stages.check();
  cri.sandboxes.add(sandbox);
  publishEvent(cri, sandbox, ContainerEventType.CONTAINER_CREATED_EVENT);
  publishEvent(cri, sandbox, ContainerEventType.CONTAINER_STARTED_EVENT);
  watchSandbox(cri, sandbox);
  return sandbox;
}

interface Starting {
  readonly metadata: SandboxMetadata;
  readonly handler: HandlerConfig;
  readonly controller: SandboxController;
  readonly record: SandboxRecord;
}

/** Starts a pod and puts it on its networks: both at once, unless the runtime has to find them. */
async function startOnNetwork(
  cri: Cri,
  ctx: CallContext,
  stages: Stages,
  starting: Starting,
): Promise<SandboxInstance> {
  const { metadata, handler, record } = starting;
  if (metadata.netnsPath === "") return start(cri, ctx, stages, starting);
  await makeNamespace(cri, stages, metadata);
  if (wantsNetworkFirst(handler, metadata)) {
    const joined = await joinNetwork(cri, ctx, stages, metadata, record);
    return start(cri, ctx, stages, { ...starting, record: joined });
  }
  const [, instance] = await together(
    ctx,
    (each) => joinNetwork(cri, each, stages, metadata, record),
    (each) => start(cri, each, stages, starting),
  );
  return instance;
}

async function start(cri: Cri, ctx: CallContext, stages: Stages, starting: Starting): Promise<SandboxInstance> {
  const { metadata, handler, controller, record } = starting;
  const { id, netnsPath } = metadata;
  const cleaning = withoutCancellation(ctx);
  await stages.run(
    "create",
    () => controller.create(ctx, record, { netnsPath, options: optionsOf(metadata) }),
    () => unlessGone(controller.shutdown(cleaning, id)),
  );
  if (!handler.disable_pause_image_pull) {
    const pause = cri.images.config.pinned_images["sandbox"] ?? "";
    await stages.run("pause image", () => cri.images.ensure(ctx, pause, { runtimeHandler: metadata.runtimeHandler }));
  }
  const instance = await stages.run(
    "start",
    () => controller.start(ctx, id),
    () => unlessGone(controller.stop(cleaning, id, 0)),
  );
  const label = instance.labels.get("selinux_label") ?? "";
  if (label === "") return instance;
  metadata.processLabel = label;
  const store = cri.client.services.sandboxStore;
  await stages.run("record of the label", () =>
    store.update(ctx, { ...record, extensions: extensionsOf(metadata) }, [`extensions.${sandboxExtension}`]),
  );
  return instance;
}

/** Makes the network namespace of a pod. */
async function makeNamespace({ network }: Cri, stages: Stages, metadata: SandboxMetadata): Promise<void> {
  const { netnsPath } = metadata;
  await stages.run(
    "network namespace",
    () => network.createNamespace(netnsPath, podUserMappings(metadata.config)),
    () => network.removeNamespace(netnsPath),
  );
}

/** Puts a pod on its networks. @returns its record, which tells of them */
async function joinNetwork(
  cri: Cri,
  ctx: CallContext,
  stages: Stages,
  metadata: SandboxMetadata,
  record: SandboxRecord,
): Promise<SandboxRecord> {
  const { network, client } = cri;
  await stages.run(
    "network",
    async () => {
      const { ip, additionalIps, result } = await network.attach(ctx, metadata);
      Object.assign(metadata, { ip, additionalIps, cniResult: result });
    },
    () => network.detach(metadata),
  );
  const joined: SandboxRecord = { ...record, extensions: extensionsOf(metadata) };
  const store = client.services.sandboxStore;
  await stages.run("record of the network", () => store.update(ctx, joined, [`extensions.${sandboxExtension}`]));
  return joined;
}

/** The controller of a handler. */
export function controllerOf(cri: Cri, { sandboxer }: { readonly sandboxer: string }): SandboxController {
  const controller = cri.controllers.get(sandboxer);
  if (controller !== undefined) return controller;
  const known = [...cri.controllers.keys()].join(", ");
  throw failedPrecondition(`sandboxer "${sandboxer}" is not known (known: ${known})`);
}

/** The pod as controllers other than our own learn of it. */
function optionsOf({ config }: SandboxMetadata): Any {
  return protoAny("runtime.v1.PodSandboxConfig", PodSandboxConfig.encode(config).finish());
}

function recordOf(cri: Cri, metadata: SandboxMetadata, handler: HandlerConfig): SandboxRecord {
  return {
    sandboxId: metadata.id,
    runtime: { name: shimOf(handler), options: runtimeOptions(handler, cri.config) },
    spec: undefined,
    labels: new Map([...metadata.config.labels, [kindLabel, "sandbox"]]),
    createdAt: undefined,
    updatedAt: undefined,
    extensions: extensionsOf(metadata),
    sandboxer: handler.sandboxer,
  };
}

function extensionsOf(metadata: SandboxMetadata): SandboxRecord["extensions"] {
  return new Map([[sandboxExtension, encodeSandboxMetadata(metadata)]]);
}

function sandboxOf(
  metadata: SandboxMetadata,
  handler: HandlerConfig,
  record: SandboxRecord,
  instance?: SandboxInstance,
): Sandbox {
  return {
    id: metadata.id,
    metadata,
    sandboxer: handler.sandboxer,
    state: "unknown",
    pid: 0,
    createdAt: nanosOf(instance?.createdAt ?? record.createdAt),
    endpoint: { address: instance?.address ?? "", version: instance?.version ?? 0 },
  };
}
