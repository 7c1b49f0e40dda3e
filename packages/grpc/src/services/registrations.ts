import type { ConfigSchema } from "@ctrd/core/config";
import { configSchema } from "@ctrd/core/config";
import { DiffPlugin } from "@ctrd/core/diff";
import { EventPlugin } from "@ctrd/core/events";
import { GcPlugin } from "@ctrd/core/gc";
import { MetadataPlugin } from "@ctrd/core/metadata";
import type { AnyRegistration, Registration } from "@ctrd/core/plugin";
import { optional, pluginType } from "@ctrd/core/plugin";
import { ServicePlugin } from "@ctrd/core/services";
import { RuntimePlugin } from "@ctrd/core/tasks";
import { snapshotterLookup, TaskMonitorPlugin } from "@ctrd/services";
import { z } from "zod";
import { tasksService } from "../tasks/service.ts";
import { containersService } from "./containers.ts";
import { diffService } from "./diff.ts";
import { imagesService } from "./images.ts";
import { introspectionService } from "./introspection.ts";
import { namespacesService } from "./namespaces.ts";

/** Plugins that count warnings; this build may have none. */
const WarningPlugin = pluginType<unknown>("io.containerd.warning.v1");

const diffTable = z.object({
  default: z.array(z.string()).default(["walking"]).describe("Differs in the order in which they are asked."),
  sync_fs: z.boolean().default(false).describe("Flush the file system after every layer."),
});

/** A file of containerd's that must not be passed over in silence: containers would get other limits. */
const unsupportedFile = z
  .string()
  .refine((path) => path === "", "is not supported; leave it empty")
  .default("")
  .meta({ description: "Not supported; must be empty.", const: "" });

const tasksTable = z.object({ blockio_config_file: unsupportedFile, rdt_config_file: unsupportedFile });

function schemaOf<C>(table: z.ZodType<C> & Parameters<typeof configSchema<C>>[0]): ConfigSchema<C> {
  return configSchema(table, () => z.toJSONSchema(table, { io: "input" }));
}

function service<C = undefined>(registration: Omit<Registration<unknown, C>, "type">): AnyRegistration {
  return { type: ServicePlugin, ...registration } as AnyRegistration;
}

/** `[timeouts]` entry of a task's state, and containerd's default for it. */
const stateTimeout = ["io.containerd.timeout.task.state", 2_000] as const;
const statsTimeout = ["io.containerd.timeout.metrics.shimstats", 2_000] as const;

/** The daemon's services: the components as clients see them, with events, limits and checks. */
export const serviceRegistrations: readonly AnyRegistration[] = [
  service({
    id: "containers-service",
    requires: [EventPlugin, MetadataPlugin],
    initFn: (ic) => containersService(ic.get(MetadataPlugin).containers, ic.get(EventPlugin)),
  }),
  service({
    id: "content-service",
    requires: [MetadataPlugin],
    initFn: (ic) => ic.get(MetadataPlugin).content,
  }),
  service<z.output<typeof diffTable>>({
    id: "diff-service",
    requires: [DiffPlugin],
    config: schemaOf(diffTable),
    initFn(ic) {
      let { sync_fs: syncFs } = ic.config;
      ic.onReload(["sync_fs"], (config) => void ({ sync_fs: syncFs } = config));
      return diffService(ic.getById(DiffPlugin), {
        order: ic.config.default,
        get syncFs() {
          return syncFs;
        },
      });
    },
  }),
  service({
    id: "images-service",
    requires: [EventPlugin, MetadataPlugin, GcPlugin, optional(WarningPlugin)],
    initFn: (ic) => imagesService(ic.get(MetadataPlugin).images, ic.get(EventPlugin), ic.get(GcPlugin)),
  }),
  service({
    id: "introspection-service",
    requires: [optional(WarningPlugin), optional(RuntimePlugin)],
    initFn: (ic) =>
      introspectionService({ plugins: () => ic.plugins(), runtimes: ic.getById(RuntimePlugin), root: ic.root }),
  }),
  service({
    id: "namespaces-service",
    requires: [EventPlugin, MetadataPlugin],
    initFn: (ic) => namespacesService(ic.get(MetadataPlugin).namespaces, ic.get(EventPlugin)),
  }),
  service({
    id: "snapshots-service",
    requires: [MetadataPlugin],
    initFn: (ic) => snapshotterLookup(ic.get(MetadataPlugin).snapshotters),
  }),
  service<z.output<typeof tasksTable>>({
    id: "tasks-service",
    requires: [EventPlugin, RuntimePlugin, MetadataPlugin, optional(TaskMonitorPlugin), optional(WarningPlugin)],
    config: schemaOf(tasksTable),
    initFn(ic) {
      const { containers, content } = ic.get(MetadataPlugin);
      const timeout = ([name, fallback]: readonly [string, number]): number => ic.daemon.timeouts.get(name) ?? fallback;
      const [stateTimeoutMs, statsTimeoutMs] = [timeout(stateTimeout), timeout(statsTimeout)];
      return tasksService({ runtime: ic.get(RuntimePlugin), containers, content, stateTimeoutMs, statsTimeoutMs });
    },
  }),
];
