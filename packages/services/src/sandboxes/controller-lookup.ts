import { invalidArgument, notFound } from "@ctrd/core/errors";
import type { SandboxController } from "@ctrd/core/sandboxes";

/** Sandbox controllers by name (`sandboxer`). @throws `invalid-argument` for an empty name, `not-found` */
export interface SandboxControllerLookup {
  get(sandboxer: string): SandboxController;
}

/** Sandbox controllers by name, with containerd's errors for an empty and an unknown name. */
export function sandboxControllerLookup(controllers: ReadonlyMap<string, SandboxController>): SandboxControllerLookup {
  return {
    get(sandboxer) {
      if (sandboxer === "") throw invalidArgument("sandboxer must be set: the name of a sandbox controller");
      const controller = controllers.get(sandboxer);
      if (controller !== undefined) return controller;
      const known = [...controllers.keys()].join(", ") || "none";
      throw notFound(`sandbox controller "${sandboxer}" (loaded: ${known})`);
    },
  };
}

/** One controller under every name: a remote one does not know how the daemon's configuration calls it. */
export function anySandboxController(controller: SandboxController): SandboxControllerLookup {
  return { get: () => controller };
}
