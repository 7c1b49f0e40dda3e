/**
 * Volumes of the namespace that a command works in, and which containers use them.
 *
 * @module
 */
import type { Container } from "@ctrd/client";
import { isKind } from "@ctrd/core/errors";
import { root } from "../containers/directory.ts";
import { nameOf, shortId } from "../containers/labels.ts";
import type { Session } from "../session.ts";
import { VolumeStore } from "./store.ts";

/** The volumes of the session's namespace. */
export function volumesOf({ client, address }: Session): VolumeStore {
  return new VolumeStore(root(), client.namespace, address);
}

/** Names of the volumes that a container uses. */
export async function volumesUsedBy(store: VolumeStore, container: Container): Promise<string[]> {
  try {
    const { mounts = [] } = await container.spec();
    return mounts.map(({ source = "" }) => store.nameOf(source)).filter((name) => name !== undefined);
  } catch (error) {
    // Removed in between, or of another kind of runtime.
    if (isKind(error, "not-found") || isKind(error, "failed-precondition")) return [];
    throw error;
  }
}

/** Containers by the names of the volumes that they use. */
export async function volumeUsers(session: Session, store: VolumeStore): Promise<Map<string, string[]>> {
  const users = new Map<string, string[]>();
  for (const container of await session.client.containers([], { signal: session.signal })) {
    const text = nameOf(container.labels) || shortId(container.id);
    for (const name of await volumesUsedBy(store, container)) users.set(name, [...(users.get(name) ?? []), text]);
  }
  return users;
}

/** Removes those of the volumes that were made for one container and that no container uses any more. */
export async function removeAnonymous(session: Session, names: readonly string[]): Promise<void> {
  if (names.length === 0) return;
  const store = volumesOf(session);
  await using _lock = await store.lock("exclusive", session.signal);
  const users = await volumeUsers(session, store);
  for (const name of names) {
    if (!users.has(name) && (await store.find(name))?.isAnonymous === true) await store.remove(name);
  }
}
