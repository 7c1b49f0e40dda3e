/**
 * containerd's Prometheus metrics of containers' cgroups, without a daemon.
 *
 * @module
 */
export type { CgroupMonitorOptions } from "./monitor.ts";
export { cgroupMonitor } from "./monitor.ts";
