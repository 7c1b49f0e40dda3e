/**
 * Bundles: the directories of tasks, and what they tell of shims.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { errnoOf } from "@ctrd/core/errors";
import { names, textOf } from "./files.ts";
import type { DoctorScope } from "./scope.ts";

/** The directory of one task. */
export interface BundleDirectory {
  readonly namespace: string;
  readonly id: string;
  readonly path: string;
}

/** All bundles of a daemon. Names with a dot are on their way out. */
export async function listBundles({ bundles }: DoctorScope): Promise<BundleDirectory[]> {
  const all: BundleDirectory[] = [];
  for (const namespace of await names(bundles)) {
    for (const id of await names(join(bundles, namespace))) {
      if (!id.startsWith(".")) all.push({ namespace, id, path: join(bundles, namespace, id) });
    }
  }
  return all;
}

/** The socket of a bundle's shim; undefined when the bundle does not say. */
export async function socketOf({ path }: BundleDirectory): Promise<string | undefined> {
  const text = (await textOf(join(path, "bootstrap.json"))) ?? (await textOf(join(path, "address")));
  const address = text === undefined ? undefined : (/unix:\/\/([^"\s]+)/.exec(text)?.[1] ?? undefined);
  return address;
}

/** Where the shims of Go listen for a container. */
export function usualSocket(address: string, namespace: string, id: string): string {
  return join(
    "/run/containerd/s",
    createHash("sha256")
      .update(join(address, namespace, id))
      .digest("hex"),
  );
}

/** Whether somebody listens on a socket: `missing` when it is not there, `dead` when nobody does. */
export async function probeSocket(path: string): Promise<"served" | "dead" | "missing"> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return "served";
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return "missing";
    if (errnoOf(error) === "ECONNREFUSED") return "dead";
    throw error;
  } finally {
    socket.destroy();
  }
}
