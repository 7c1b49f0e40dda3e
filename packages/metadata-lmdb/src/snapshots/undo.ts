import type { CallContext } from "@ctrd/core/context";
import { isKind, messageOf } from "@ctrd/core/errors";
import type { SnapshotterScope } from "./snapshotter.ts";

/** Removes what the backend made for a call that fails now. What cannot be removed is left to the next collection. */
export async function undoBackend(scope: SnapshotterScope, ctx: CallContext, backendKey: string): Promise<void> {
  const { shared, name, backend } = scope;
  try {
    await backend.remove(ctx, backendKey);
  } catch (error) {
    if (isKind(error, "not-found")) return;
    shared.garbage.addSnapshot(name, backendKey);
    shared.log.warn({ snapshotter: name, key: backendKey, error: messageOf(error) }, "undo snapshot");
  }
}
