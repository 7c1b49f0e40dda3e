/** What every file starts with: a daemon, a registry, and a busybox image pulled from one into the other. */
import { join } from "node:path";
import { busyboxImage, pushImage, startRegistry, type BuiltImage, type TestRegistry } from "@ctrd/testkit/fixtures";
import { startDaemon, type Daemon, type DaemonOptions } from "./daemon.ts";
import { closeDaemon } from "./leaks.ts";
import { requirePeers } from "./peers.ts";

export interface Harness {
  readonly daemon: Daemon;
  readonly registry: TestRegistry;
  readonly busybox: BuiltImage;
  /** Reference of the busybox image, in the registry and pulled. */
  readonly image: string;
  /** A path inside the test's own directory. */
  path(name: string): string;
  close(): Promise<void>;
}

export async function openHarness(name: string, options: DaemonOptions & { pull?: boolean } = {}): Promise<Harness> {
  requirePeers(["ctr", "containerd-shim-runc-v2", "runc", "docker-registry", "busybox"]);
  // First the registry: its files must not be in the temp directory that the leak check wants to see empty.
  const registry = await startRegistry();
  const daemon = await startDaemon(name, options).catch(async (error: unknown) => {
    await registry[Symbol.asyncDispose]();
    throw error;
  });
  const close = async (): Promise<void> => {
    await registry[Symbol.asyncDispose]();
    await closeDaemon(daemon);
  };
  try {
    const busybox = await busyboxImage({ applets: "symlink" });
    const image = await pushImage(registry, "e2e/busybox", "1", busybox);
    if (options.pull !== false) await daemon.ctr(["images", "pull", "--plain-http", image]);
    return { daemon, registry, busybox, image, path: (file) => join(daemon.dir, file), close };
  } catch (error) {
    await close();
    throw error;
  }
}
