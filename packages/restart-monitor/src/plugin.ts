import { parseGoDuration } from "@ctrd/core/durations";
import { EventPlugin } from "@ctrd/core/events";
import { OperationsPlugin } from "@ctrd/core/operations";
import type { Registration } from "@ctrd/core/plugin";
import { optional, pluginType } from "@ctrd/core/plugin";
import { ContainersService, NamespacesService, SnapshotsService, TasksService } from "@ctrd/core/services";
import type { RestartConfig } from "./config.ts";
import { restartConfig } from "./config.ts";
import type { RunningRestartMonitor } from "./monitor.ts";
import { startRestartMonitor } from "./monitor.ts";
import { policyNames } from "./policy.ts";
import { socketListens } from "./socket-listens.ts";

const ContainerMonitorPlugin = pluginType<RunningRestartMonitor>("io.containerd.monitor.container.v1");

const restart: Registration<RunningRestartMonitor, RestartConfig> = {
  type: ContainerMonitorPlugin,
  id: "restart",
  requires: [
    EventPlugin,
    ContainersService,
    NamespacesService,
    SnapshotsService,
    TasksService,
    optional(OperationsPlugin),
  ],
  config: restartConfig,
  initFn(ic) {
    // nerdctl asks which policies there are.
    ic.meta.capabilities.push(...policyNames);
    const monitor = startRestartMonitor(
      {
        namespaces: ic.get(NamespacesService),
        containers: ic.get(ContainersService),
        tasks: ic.get(TasksService),
        snapshotters: ic.get(SnapshotsService),
        events: ic.get(EventPlugin),
        operations: ic.getAll(OperationsPlugin)[0],
      },
      {
        intervalMs: parseGoDuration(ic.config.interval),
        log: ic.log,
        // Shims that start connect to it at once.
        ready: (signal) => socketListens(ic.daemon.ttrpcAddress, signal),
      },
    );
    ic.onReload(["interval"], (config) => monitor.setInterval(parseGoDuration(config.interval)));
    ic.onClose(() => monitor.stop());
    return monitor;
  },
};
export default restart;
