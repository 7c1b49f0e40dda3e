/**
 * What the volumes of a namespace take. They are directories of this machine.
 *
 * @module
 */
import type { Session } from "../session.ts";
import { volumesOf, volumeUsers } from "../volumes/session-volumes.ts";

/** A volume that was measured. */
export interface VolumeUsage {
  readonly name: string;
  /** Bytes. */
  readonly size: bigint;
  /** Names of the containers that use it. */
  readonly users: readonly string[];
}

/** Measures all volumes of the session's namespace. */
export async function measureVolumes(session: Session): Promise<VolumeUsage[]> {
  const store = volumesOf(session);
  const volumes = await store.list();
  if (volumes.length === 0) return [];
  const { TreePool } = await import("@ctrd/storage");
  const trees = new TreePool();
  try {
    const users = await volumeUsers(session, store);
    const measure = async ({ name, data }: (typeof volumes)[number]): Promise<VolumeUsage> => {
      const { size } = await trees.diskUsage(data, session.signal);
      return { name, size, users: users.get(name) ?? [] };
    };
    return await Promise.all(volumes.map(measure));
  } finally {
    await trees.close();
  }
}
