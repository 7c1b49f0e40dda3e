import { EventPlugin } from "@ctrd/core/events";
import type { Registration } from "@ctrd/core/plugin";
import type { SandboxController } from "@ctrd/core/sandboxes";
import { SandboxControllerPlugin } from "@ctrd/core/sandboxes";
import { ShimPlugin } from "./manager.ts";
import { openSandboxController } from "./sandbox-controller.ts";

/** The sandbox controller `shim`. */
export const shimSandboxes: Registration<SandboxController> = {
  type: SandboxControllerPlugin,
  id: "shim",
  requires: [ShimPlugin, EventPlugin],
  async initFn(ic) {
    ic.meta.exports.set("root", ic.root).set("state", ic.state);
    const opened = await openSandboxController(ic.get(ShimPlugin), { root: ic.root, state: ic.state });
    ic.onClose(() => opened.close());
    return opened;
  },
};
