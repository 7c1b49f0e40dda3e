import type { PluginPackage } from "./app/plugin-package.ts";

/** Whether the list is all that there is: `ctrd build` puts another in its place, with the packages of an app. */
export const isClosed: boolean = false;

/** The default set. This list IS the daemon: take a line away and its plugins are gone. */
export const builtins: readonly PluginPackage[] = [
  { name: "@ctrd/content-local", load: () => import("@ctrd/content-local/plugin") },
  { name: "@ctrd/snapshot-overlayfs", load: () => import("@ctrd/snapshot-overlayfs/plugin") },
  { name: "@ctrd/snapshot-native", load: () => import("@ctrd/snapshot-native/plugin") },
  { name: "@ctrd/events-exchange", load: () => import("@ctrd/events-exchange/plugin") },
  { name: "@ctrd/metadata-lmdb", load: () => import("@ctrd/metadata-lmdb/plugin") },
  { name: "@ctrd/gc-scheduler", load: () => import("@ctrd/gc-scheduler/plugin") },
  { name: "@ctrd/diff-walking", load: () => import("@ctrd/diff-walking/plugin") },
  { name: "@ctrd/runtime-v2", load: () => import("@ctrd/runtime-v2/plugin") },
  { name: "@ctrd/image-verifier-bindir", load: () => import("@ctrd/image-verifier-bindir/plugin") },
  { name: "@ctrd/pull-progress", load: () => import("@ctrd/pull-progress/plugin") },
  { name: "@ctrd/transfer", load: () => import("@ctrd/transfer/plugin") },
  { name: "@ctrd/restart-monitor", load: () => import("@ctrd/restart-monitor/plugin") },
  { name: "@ctrd/monitor-cgroups", load: () => import("@ctrd/monitor-cgroups/plugin") },
  { name: "@ctrd/tracing-otlp", load: () => import("@ctrd/tracing-otlp/plugin") },
  { name: "@ctrd/nri", load: () => import("@ctrd/nri/plugin") },
  { name: "@ctrd/cri", load: () => import("@ctrd/cri/plugin") },
  { name: "@ctrd/debug", load: () => import("@ctrd/debug/plugin") },
  { name: "@ctrd/grpc", load: () => import("@ctrd/grpc/plugin") },
];
