/** Pods that were there before the daemon. */
import type { CallContext } from "@ctrd/core/context";
import { isKind, messageOf } from "@ctrd/core/errors";
import type { Sandbox as SandboxRecord } from "@ctrd/core/sandboxes";
import type { Sandbox } from "../sandboxes/sandbox.ts";
import { decodeSandboxMetadata, sandboxExtension } from "../sandboxes/sandbox.ts";
import { watchSandbox } from "../sandboxes/watch.ts";
import { nanosOf } from "../store/clock.ts";
import type { Cri } from "../store/cri.ts";

export async function recoverSandboxes(cri: Cri, ctx: CallContext): Promise<void> {
  const records = await cri.client.services.sandboxStore.list(ctx, []);
  const own = records.filter(({ extensions }) => extensions.has(sandboxExtension));
  await Promise.all(
    own.map(async (record) => {
      try {
        await recoverSandbox(cri, ctx, record);
      } catch (error) {
        cri.log.error({ sandbox: record.sandboxId, err: messageOf(error) }, "pod not recovered");
      }
    }),
  );
}

async function recoverSandbox(cri: Cri, ctx: CallContext, record: SandboxRecord): Promise<void> {
  const id = record.sandboxId;
  const metadata = decodeSandboxMetadata(id, record.extensions.get(sandboxExtension));
  const sandbox: Sandbox = {
    id,
    metadata,
    sandboxer: record.sandboxer,
    createdAt: nanosOf(record.createdAt),
    ...(await whatBecameOf(cri, ctx, record)),
  };
  cri.sandboxNames.reserve(metadata.name, id, sandbox.state === "ready" ? "ready" : "stopped");
  cri.specs.selinux.reserve(metadata.processLabel);
  cri.sandboxes.add(sandbox);
  if (sandbox.state === "ready") watchSandbox(cri, sandbox);
}

async function whatBecameOf(
  cri: Cri,
  ctx: CallContext,
  { sandboxId: id, sandboxer }: SandboxRecord,
): Promise<Pick<Sandbox, "state" | "pid" | "endpoint">> {
  const nowhere = { address: "", version: 0 };
  try {
    const controller = cri.controllers.get(sandboxer);
    if (controller === undefined) return { state: "unknown", pid: 0, endpoint: nowhere };
    const { state, pid, address, version } = await controller.status(ctx, id, false);
    return { state: state === "SANDBOX_READY" ? "ready" : "notready", pid, endpoint: { address, version } };
  } catch (error) {
    if (isKind(error, "not-found")) return { state: "notready", pid: 0, endpoint: nowhere };
    cri.log.warn({ sandbox: id, err: messageOf(error) }, "state of a pod not known");
    return { state: "unknown", pid: 0, endpoint: nowhere };
  }
}
