/**
 * Bundles: the directory of one task, shared with its shim and runc.
 *
 * @module
 */
import { chmod, chown, mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { alreadyExists, errnoOf } from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import { hasErrno, mkfifo, parseMountInfo, unmount, unmountAll, UnmountFlag } from "@ctrd/sys";
import type { Endpoint } from "./address.ts";
import { encodeBootstrapJson, parseStartOutput } from "./bootstrap.ts";
import type { RuntimeDirs } from "./layout.ts";
import { BundleFile, bundlePath, removedBundlePath, workPath } from "./layout.ts";
import { rootGidOf } from "./user-namespace.ts";

/** The directory of one task. */
export class Bundle {
  readonly namespace: string;
  readonly id: string;
  readonly path: string;
  readonly #dirs: RuntimeDirs;

  constructor(dirs: RuntimeDirs, namespace: string, id: string) {
    this.namespace = namespace;
    this.id = id;
    this.path = bundlePath(dirs, namespace, id);
    this.#dirs = dirs;
  }

  /** Path of one of the bundle's files. */
  file(name: (typeof BundleFile)[keyof typeof BundleFile]): string {
    return join(this.path, name);
  }

  /**
   * Makes the bundle: `config.json` with `spec`, `rootfs`, `work`, the log FIFO. On failure nothing stays.
   *
   * @param spec OCI spec as JSON; a sandbox may have none
   * @throws ContainerdError `already-exists` when the directory is there
   */
  async create(spec: Uint8Array | undefined): Promise<void> {
    await mkdir(dirname(this.path), { recursive: true, mode: 0o711 });
    try {
      await mkdir(this.path, { mode: 0o700 });
    } catch (error) {
      if (errnoOf(error) === "EEXIST") throw alreadyExists(`bundle ${this.path}`, { cause: error });
      throw error;
    }
    try {
      FAILPOINT: if (failpoints.on) await failpoints.at("bundle.create");
      await this.#fill(spec);
    } catch (error) {
      await this.delete();
      throw error;
    }
  }

  async #fill(spec: Uint8Array | undefined): Promise<void> {
    const work = workPath(this.#dirs, this.namespace, this.id);
    mkfifo(this.file(BundleFile.log), 0o700);
    const steps = await Promise.allSettled([
      spec === undefined ? undefined : writeFile(this.file(BundleFile.config), spec),
      mkdir(this.file(BundleFile.rootfs), { mode: 0o711 }),
      symlink(work, this.file(BundleFile.work)),
      makeWorkDirectory(work),
      this.#openToUserNamespace(spec),
    ]);
    // All have ended: none makes anything any more when a failure has the bundle removed.
    for (const step of steps) if (step.status === "rejected") throw step.reason;
  }

  /** The container's root must be able to pass through the bundle to its rootfs. */
  async #openToUserNamespace(spec: Uint8Array | undefined): Promise<void> {
    const gid = spec === undefined ? undefined : rootGidOf(spec);
    if (gid === undefined) return;
    await chown(this.path, process.geteuid?.() ?? 0, gid);
    await chmod(this.path, 0o710);
  }

  /** Remembers the shim's binary, for its `delete` and for the daemon's next start. */
  async writeShimBinary(path: string): Promise<void> {
    await writeFile(this.file(BundleFile.shimBinary), path, { mode: 0o600 });
  }

  async writeSandbox(sandboxId: string): Promise<void> {
    await writeFile(this.file(BundleFile.sandbox), sandboxId, { mode: 0o600 });
  }

  /** Remembers how to reach the shim. Atomic; not synced, since a power failure also ends the shim. */
  async writeEndpoint(endpoint: Endpoint): Promise<void> {
    const path = this.file(BundleFile.bootstrap);
    const temporary = `${path}.new`;
    await writeFile(temporary, encodeBootstrapJson(endpoint), { mode: 0o644 });
    await rename(temporary, path);
  }

  /** How to reach the shim: `bootstrap.json`, else the `address` file of 1.x shims; undefined when neither is there. */
  async readEndpoint(): Promise<Endpoint | undefined> {
    const text = (await this.read(BundleFile.bootstrap)) ?? (await this.read(BundleFile.address));
    return text === undefined || text.trim() === "" ? undefined : parseStartOutput(Buffer.from(text));
  }

  /** Content of a file of the bundle; undefined when it is not there. */
  async read(name: (typeof BundleFile)[keyof typeof BundleFile]): Promise<string | undefined> {
    try {
      return await readFile(this.file(name), "utf8");
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  /**
   * Unmounts the rootfs and removes bundle and work directory. A bundle that is gone already is fine.
   *
   * @throws when something stays mounted: removing files would then remove the container's own
   */
  async delete(): Promise<void> {
    const rootfs = this.file(BundleFile.rootfs);
    FAILPOINT: if (failpoints.on) await failpoints.at("bundle.unmount");
    await unmountBelow(rootfs);
    const removed = removedBundlePath(this.#dirs, this.namespace, this.id);
    try {
      await renameOver(this.path, removed);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
    FAILPOINT: if (failpoints.on) await failpoints.at("bundle.remove");
    await Promise.all([
      rm(removed, { recursive: true, force: true }),
      rm(workPath(this.#dirs, this.namespace, this.id), { recursive: true, force: true }),
    ]);
  }
}

async function makeWorkDirectory(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o711 });
  // A work directory that outlived its bundle (a crash, a reboot) belongs to nobody.
  await rm(path, { recursive: true, force: true });
  await mkdir(path, { mode: 0o711 });
}

async function renameOver(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    const code = errnoOf(error);
    if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
    await rm(to, { recursive: true, force: true });
    await rename(from, to);
  }
}

/** Unmounts everything at and below `path`, innermost first; lazily where it is busy. */
async function unmountBelow(path: string): Promise<void> {
  try {
    unmountAll(path);
    return;
  } catch (error) {
    if (!hasErrno(error, "EBUSY")) throw error;
  }
  const table = parseMountInfo(await readFile("/proc/self/mountinfo", "utf8"));
  const targets = table.map((entry) => entry.mountPoint).filter((at) => at === path || at.startsWith(`${path}/`));
  for (const target of targets.reverse()) {
    try {
      unmount(target, UnmountFlag.Detach);
    } catch (error) {
      if (!hasErrno(error, "EINVAL", "ENOENT")) throw error;
    }
  }
  unmountAll(path, UnmountFlag.Detach);
}
