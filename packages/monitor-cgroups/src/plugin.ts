import type { ConfigSchema } from "@ctrd/core/config";
import { configSchema } from "@ctrd/core/config";
import type { Registration } from "@ctrd/core/plugin";
import { ContainersService } from "@ctrd/core/services";
import { RuntimePlugin } from "@ctrd/core/tasks";
import type { MetricsSource } from "@ctrd/services";
import { TaskMonitorPlugin } from "@ctrd/services";
import { z } from "zod";

/** `[plugins."io.containerd.monitor.task.v1.cgroups"]` */
interface MonitorConfig {
  no_prometheus: boolean;
}

const table = z.object({ no_prometheus: z.boolean().default(false).describe("Show nothing of containers' cgroups.") });
const config: ConfigSchema<MonitorConfig> = configSchema(table, () => z.toJSONSchema(table, { io: "input" }));

/** `[timeouts]` entry of one shim's answer, and containerd's default for it. */
const timeoutName = "io.containerd.timeout.metrics.shimstats";
const defaultTimeoutMs = 2_000;

const cgroups: Registration<MetricsSource, MonitorConfig> = {
  type: TaskMonitorPlugin,
  id: "cgroups",
  requires: [RuntimePlugin, ContainersService],
  config,
  initFn(ic) {
    if (ic.config.no_prometheus) return { write: () => {} };
    const options = {
      runtime: ic.get(RuntimePlugin),
      containers: ic.get(ContainersService),
      timeoutMs: ic.daemon.timeouts.get(timeoutName) ?? defaultTimeoutMs,
      log: ic.log,
    };
    // Not before the first scrape: most daemons are never scraped.
    let opening: Promise<MetricsSource> | undefined;
    let monitor: MetricsSource | undefined;
    return {
      async read() {
        opening ??= import("./monitor.ts").then(({ cgroupMonitor }) => cgroupMonitor(options));
        monitor = await opening;
        await monitor.read?.();
      },
      write: (writer) => monitor?.write(writer),
    };
  },
};
export default cgroups;
