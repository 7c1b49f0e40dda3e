/**
 * Network namespaces that are kept by a file, as `ip netns` keeps them.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, open, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { alreadyExists, errnoOf, failedPrecondition, messageOf, notFound } from "@ctrd/core/errors";
import { FileSystemMagic, hasErrno, mount, MountFlag, statfs, unmount, UnmountFlag } from "@ctrd/sys";
import { inNamespaceThread } from "./namespace-thread.ts";

/** Where network namespaces are, unless something else is said. */
export const defaultNamespaceDirectory = "/run/netns";

/** A network namespace, kept by a bind mount on a file until it is removed. */
export class NetworkNamespace implements AsyncDisposable {
  /** For `linux.namespaces` of a spec, and for plugins. */
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Makes a namespace, with its loopback interface up.
   *
   * @param name file name; one is made up otherwise (`cni-` and random digits)
   * @throws ContainerdError `already-exists` when the file is there. Nothing is left behind by a failure
   */
  static async create(directory: string = defaultNamespaceDirectory, name?: string): Promise<NetworkNamespace> {
    const path = join(directory, name ?? `cni-${randomBytes(16).toString("hex")}`);
    return NetworkNamespace.#keep(path, () => inNamespaceThread({ kind: "create", path }));
  }

  /**
   * Keeps the namespace of another file, as `/proc/<pid>/ns/net`, for as long as {@link NetworkNamespace.remove} is not
   * called.
   *
   * @throws ContainerdError `already-exists` when the file is there
   */
  static async pin(source: string, directory: string, name: string): Promise<NetworkNamespace> {
    const path = join(directory, name);
    return NetworkNamespace.#keep(path, async () => mount(source, path, "", MountFlag.Bind));
  }

  /** A namespace that is there. @throws ContainerdError `not-found`, `failed-precondition` when the file is none */
  static open(path: string): NetworkNamespace {
    if (isNamespace(path)) return new NetworkNamespace(path);
    if (!existsSync(path)) throw notFound(`network namespace ${path}`);
    throw failedPrecondition(
      `network namespace ${path}: the file is no namespace (after a reboot the files are left; remove it)`,
    );
  }

  /** Whether a namespace is kept by this file. */
  static exists(path: string): boolean {
    return isNamespace(path);
  }

  static async #keep(path: string, fill: () => Promise<void>): Promise<NetworkNamespace> {
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    await makeFile(path);
    try {
      await fill();
    } catch (error) {
      await removeNamespace(path);
      throw failedPrecondition(`make network namespace ${path}: ${messageOf(error)}`, { cause: error });
    }
    return new NetworkNamespace(path);
  }

  /** Brings up the loopback interface: what the plugin `loopback` does, without a process. */
  async setLoopbackUp(): Promise<void> {
    try {
      await inNamespaceThread({ kind: "loopback", path: this.path });
    } catch (error) {
      const message = `loopback interface of network namespace ${this.path}: ${messageOf(error)}`;
      throw errnoOf(error) === "ENOENT"
        ? notFound(message, { cause: error })
        : failedPrecondition(message, { cause: error });
    }
  }

  /** Lets go of the namespace: it ends with its last process. */
  async remove(): Promise<void> {
    await removeNamespace(this.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove();
  }
}

/** Removes the file of a namespace, mounted or not. One that is gone is fine. */
export async function removeNamespace(path: string): Promise<void> {
  // Something may be mounted more than once.
  while (isNamespace(path)) unmount(path, UnmountFlag.Detach | UnmountFlag.NoFollow);
  await rm(path, { force: true });
}

function isNamespace(path: string): boolean {
  try {
    return statfs(path).type === FileSystemMagic.nsfs;
  } catch (error) {
    if (hasErrno(error, "ENOENT")) return false;
    throw error;
  }
}

async function makeFile(path: string): Promise<void> {
  try {
    const file = await open(path, "wx", 0o444);
    await file.close();
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
    throw alreadyExists(`network namespace ${path}`, { cause: error });
  }
}
