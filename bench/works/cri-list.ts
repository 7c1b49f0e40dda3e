/**
 * ListContainers and ListPodSandbox with 1,000 records. The containers are made over CRI and never started. The pods are
 * one stopped pod and copies of its record, which the daemon finds at its next start.
 */
import { randomBytes } from "node:crypto";
import { NamespaceMode } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import { isKind } from "@ctrd/core/errors";
import { proxyContainers, proxySandboxes } from "@ctrd/services";
import { timed, type BenchContext, type Work } from "../work.ts";
import type { Side } from "../side.ts";
import { criSide, type CriSide } from "./cri-side.ts";

const records = 1000;
const repeats = 10;
const atOnce = 8;
const hostNetwork = { hostname: "", linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } } };

export const listContainers: Work = {
  name: "cri-list-1000",
  unit: "ms",
  target: "<= 1.00",
  async prepare(side, context) {
    const cri = await criSide(side, context);
    const pod = cri.pod(hostNetwork);
    const podSandboxId = await cri.runPod(pod);
    const { containers } = await cri.runtime.listContainers(cri.ctx, { filter: undefined });
    let next = containers.length;
    await parallel(async () => {
      while (next < records) await cri.createContainer(podSandboxId, pod, `c${next++}`);
    });
  },
  run: (side, context) =>
    meanOf(side, context, async (cri) => {
      const { containers } = await cri.runtime.listContainers(cri.ctx, { filter: undefined });
      return containers.length;
    }),
};

export const listPods: Work = {
  name: "cri-pods-1000",
  unit: "ms",
  target: "<= 1.00",
  async prepare(side, context) {
    const cri = await criSide(side, context);
    const id = await cri.runPod(cri.pod(hostNetwork));
    await cri.runtime.stopPodSandbox(cri.ctx, { podSandboxId: id });
    const { items } = await cri.runtime.listPodSandbox(cri.ctx, { filter: undefined });
    const copy = await copier(cri, cri.ctx, id);
    let missing = records - items.length;
    await parallel(async () => {
      while (missing-- > 0) await copy(randomBytes(32).toString("hex"));
    });
    await cri.restart();
  },
  run: (side, context) =>
    meanOf(side, context, async (cri) => {
      const { items } = await cri.runtime.listPodSandbox(cri.ctx, { filter: undefined });
      return items.length;
    }),
};

async function parallel(body: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: atOnce }, body));
}

async function meanOf(side: Side, context: BenchContext, list: (cri: CriSide) => Promise<number>): Promise<number> {
  const cri = await criSide(side, context);
  const total = await timed(async () => {
    for (let i = 0; i < repeats; i++) {
      const count = await list(cri);
      if (count !== records) throw new Error(`${side.name}: ${count} records instead of ${records}`);
    }
  });
  return total / repeats;
}

/** Copies the record of a pod: that of the sandbox store where pods are in there, else that of the pause container. */
async function copier({ channel }: CriSide, ctx: CallContext, id: string): Promise<(copyId: string) => Promise<void>> {
  const sandboxes = proxySandboxes(channel);
  const containers = proxyContainers(channel);
  try {
    const record = await sandboxes.get(ctx, id);
    return async (copyId) => {
      await sandboxes.create(ctx, { ...record, sandboxId: copyId, extensions: renamed(record.extensions, id, copyId) });
    };
  } catch (error) {
    // containerd 1.6 has no such service.
    if (!isKind(error, "not-found") && !isKind(error, "not-implemented")) throw error;
  }
  const record = await containers.get(ctx, id);
  return async (copyId) => {
    const extensions = renamed(record.extensions, id, copyId);
    await containers.create(ctx, { ...record, id: copyId, snapshotKey: copyId, extensions });
  };
}

type Extensions = Awaited<ReturnType<ReturnType<typeof proxyContainers>["get"]>>["extensions"];

/** The metadata with another id, and with another reserved name. */
function renamed(extensions: Extensions, id: string, copyId: string): Extensions {
  return new Map(
    [...extensions].map(([key, { typeUrl, value }]) => {
      const text = Buffer.from(value).toString().replaceAll(id, copyId);
      const named = text.replace(/"Name":"[^"]*"/, `"Name":"${copyId.slice(0, 12)}_bench_uid_0"`);
      return [key, { typeUrl, value: Buffer.from(named) }];
    }),
  );
}
