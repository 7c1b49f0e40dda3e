/** Methods about the runtime itself. */
import { CgroupDriver } from "@ctrd/api/cri/runtime/v1/api";
import { handlerConfig } from "../sandboxes/handlers.ts";
import { usesSystemd } from "../sandboxes/runtime-options.ts";
import type { Cri } from "../store/cri.ts";
import type { RuntimeMethods } from "./methods.ts";
import { statusOf, versionOf } from "./status.ts";

type Names = "version" | "status" | "runtimeConfig" | "updateRuntimeConfig" | "getContainerEvents";

export function runtimeMethods(cri: Cri): RuntimeMethods<Names> {
  return {
    async version(ctx) {
      cri.serving(ctx);
      return versionOf(cri);
    },
    status: (ctx, { verbose }) => statusOf(cri, cri.serving(ctx), verbose),
    async runtimeConfig(ctx) {
      cri.serving(ctx);
      const isSystemd = usesSystemd(handlerConfig(cri.config, ""), cri.config);
      return { linux: { cgroupDriver: isSystemd ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS } };
    },
    async updateRuntimeConfig(ctx, { runtimeConfig }) {
      await cri.network.setPodCidr(cri.serving(ctx), runtimeConfig?.networkConfig?.podCidr ?? "");
      return {};
    },
    getContainerEvents: (ctx) => cri.events.subscribe(cri.serving(ctx).signal),
  };
}
