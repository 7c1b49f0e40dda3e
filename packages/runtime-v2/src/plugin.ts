import { EventPlugin } from "@ctrd/core/events";
import { MetadataPlugin } from "@ctrd/core/metadata";
import type { AnyRegistration, Registration } from "@ctrd/core/plugin";
import type { TaskRuntime } from "@ctrd/core/tasks";
import { RuntimePlugin } from "@ctrd/core/tasks";
import type { RuntimeConfig, ShimManagerConfig } from "./config.ts";
import { runtimeConfig, shimManagerConfig } from "./config.ts";
import type { ShimManager } from "./manager.ts";
import { createShimManager, ShimPlugin } from "./manager.ts";
import { openRuntime } from "./runtime.ts";
import { shimSandboxes } from "./sandbox-registration.ts";

const manager: Registration<ShimManager, ShimManagerConfig> = {
  type: ShimPlugin,
  id: "manager",
  requires: [EventPlugin, MetadataPlugin],
  config: shimManagerConfig,
  initFn(ic) {
    const { containers, sandboxes } = ic.get(MetadataPlugin);
    const { address: grpcAddress, ttrpcAddress, binary: daemonBinary, version: daemonVersion } = ic.daemon;
    const settings = {
      ...{ grpcAddress, ttrpcAddress, daemonBinary, daemonVersion },
      get debug() {
        return ic.daemon.debug;
      },
      env: ic.config.env,
      socketDir: ic.config.socket_dir,
    };
    ic.onReload(["env"], ({ env }) => void Object.assign(settings, { env }));
    return createShimManager({
      settings,
      events: ic.get(EventPlugin),
      ...{ containers, sandboxes },
      timeouts: ic.daemon.timeouts,
      log: ic.log,
    });
  },
};

const runtime: Registration<TaskRuntime, RuntimeConfig> = {
  type: RuntimePlugin,
  id: "task",
  requires: [ShimPlugin],
  config: runtimeConfig,
  async initFn(ic) {
    const shims = ic.get(ShimPlugin);
    for (const platform of ic.config.platforms) {
      const [os = "", architecture = "", variant = ""] = platform.split("/");
      ic.meta.platforms.push({ os, architecture, variant, osVersion: "" });
    }
    ic.meta.exports.set("root", ic.root).set("state", ic.state);
    const opened = await openRuntime(shims, { root: ic.root, state: ic.state });
    ic.onClose(() => opened.close());
    void shims.lookup.warm("io.containerd.runc.v2");
    return opened;
  },
};

const registrations: AnyRegistration[] = [manager, runtime, shimSandboxes];
export default registrations;
