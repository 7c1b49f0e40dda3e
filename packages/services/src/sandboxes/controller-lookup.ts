import { invalidArgument } from "@ctrd/core/errors";
import type { SandboxController } from "@ctrd/core/sandboxes";

/** Sandbox controllers by name (`sandboxer`). @throws `invalid-argument` for an unknown name */
export interface SandboxControllerLookup {
  get(sandboxer: string): SandboxController;
}

/** Sandbox controllers by name; when there is one only, it is also meant by the empty name. */
export function sandboxControllerLookup(controllers: ReadonlyMap<string, SandboxController>): SandboxControllerLookup {
  return {
    get(sandboxer) {
      const [only] = controllers.values();
      if (sandboxer === "" && controllers.size === 1 && only !== undefined) return only;
      const controller = controllers.get(sandboxer);
      if (controller !== undefined) return controller;
      const known = [...controllers.keys()].join(", ") || "none";
      throw invalidArgument(`sandbox controller "${sandboxer}" is not loaded, loaded are: ${known}`);
    },
  };
}

/** One controller under every name: a remote one does not know how the daemon's configuration calls it. */
export function anySandboxController(controller: SandboxController): SandboxControllerLookup {
  return { get: () => controller };
}
