import type { ContentStore } from "@ctrd/core/content";
import type { Differ } from "@ctrd/core/diff";
import type { SandboxController } from "@ctrd/core/sandboxes";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { serveContent } from "./content/serve.ts";
import { serveDiff } from "./diff/serve.ts";
import { createHealth } from "./health/serve.ts";
import type { BoundService } from "./rpc/index.ts";
import { anySandboxController } from "./sandboxes/controller-lookup.ts";
import { serveSandboxControllers } from "./sandboxes/controller-serve.ts";
import type { ServedSocket, ServeOnSocketOptions } from "./serve-on-socket.ts";
import { serveOnSocket } from "./serve-on-socket.ts";
import { anySnapshotter } from "./snapshots/lookup.ts";
import { serveSnapshots } from "./snapshots/serve.ts";

/** How long calls may take when a component stops, in milliseconds: a prepare may copy a large tree. */
const defaultGraceMs = 10_000;

/**
 * Serves a snapshotter on a unix socket, as `[proxy_plugins]` of ctrd and containerd take it: all that a process needs
 * to be one. The standard Health service is served beside it. A socket that nobody listens on is replaced.
 * When it stops, calls under way have 10 s (`graceMs`) to end.
 *
 * ```ts
 * const server = await serveSnapshotter("/run/mine.sock", mine);
 * process.once("SIGTERM", () => void server.stop().then(() => mine.close()));
 * ```
 *
 * @throws ContainerdError `failed-precondition` when another process serves `path`, `invalid-argument` for a bad path
 */
export function serveSnapshotter(
  path: string,
  snapshotter: Snapshotter,
  options?: ServeOnSocketOptions,
): Promise<ServedSocket> {
  return serveComponent(path, serveSnapshots(anySnapshotter(snapshotter)), options);
}

/** Serves a content store; otherwise like {@link serveSnapshotter}. */
export function serveContentStore(
  path: string,
  store: ContentStore,
  options?: ServeOnSocketOptions,
): Promise<ServedSocket> {
  return serveComponent(path, serveContent(store), options);
}

/** Serves a differ; otherwise like {@link serveSnapshotter}. */
export function serveDiffer(path: string, differ: Differ, options?: ServeOnSocketOptions): Promise<ServedSocket> {
  return serveComponent(path, serveDiff(differ), options);
}

/** Serves a sandbox controller; otherwise like {@link serveSnapshotter}. */
export function serveSandboxController(
  path: string,
  controller: SandboxController,
  options?: ServeOnSocketOptions,
): Promise<ServedSocket> {
  return serveComponent(path, serveSandboxControllers(anySandboxController(controller)), options);
}

async function serveComponent(
  path: string,
  service: BoundService,
  options: ServeOnSocketOptions | undefined,
): Promise<ServedSocket> {
  const health = createHealth();
  const names = ["", service.definition.fullName];
  for (const name of names) health.set(name, true);
  const server = await serveOnSocket(path, [service, health.service], { graceMs: defaultGraceMs, ...options });
  const stop = (): Promise<void> => {
    for (const name of names) health.set(name, false);
    return server.stop();
  };
  return { path, stop, [Symbol.asyncDispose]: stop };
}
