/**
 * What a daemon before this one has made: pods and containers from their records, and what has become of them.
 *
 * @module
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { CallContext } from "@ctrd/core/context";
import { messageOf } from "@ctrd/core/errors";
import { namesIn } from "@ctrd/sys";
import type { CriDirectories } from "../sandboxes/layout.ts";
import type { Cri } from "../store/cri.ts";
import { unlessGone } from "../store/unless-gone.ts";
import { recoverContainers } from "./containers.ts";
import { recoverSandboxes } from "./sandboxes.ts";

/** Fills the stores in memory. What cannot be read is logged and left alone. */
export async function recover(cri: Cri, ctx: CallContext): Promise<void> {
  await recoverSandboxes(cri, ctx);
  await recoverContainers(cri, ctx);
  await removeLeftLeases(cri, ctx);
  await removeLeftDirectories(cri, "sandboxes", (id) => cri.sandboxes.find(id) === undefined);
  await removeLeftDirectories(cri, "containers", (id) => cri.containers.find(id) === undefined);
}

const podId = /^[0-9a-f]{64}$/;

/** Leases of pods that never came to be. */
async function removeLeftLeases(cri: Cri, ctx: CallContext): Promise<void> {
  const leases = cri.client.services.leasesService;
  for (const { id } of await leases.list(ctx, [])) {
    if (podId.test(id) && cri.sandboxes.find(id) === undefined) await unlessGone(leases.delete(ctx, id));
  }
}

async function removeLeftDirectories(
  cri: Cri,
  kind: "sandboxes" | "containers",
  isLeft: (id: string) => boolean,
): Promise<void> {
  for (const base of baseDirectories(cri.directories)) {
    for (const id of await namesIn(join(base, kind))) {
      if (!podId.test(id) || !isLeft(id)) continue;
      try {
        await rm(join(base, kind, id), { recursive: true, force: true });
      } catch (error) {
        cri.log.warn({ id, err: messageOf(error) }, "left directory not removed");
      }
    }
  }
}

function baseDirectories({ root, state }: CriDirectories): string[] {
  return [root, state];
}
