/** Some of the methods of RuntimeService. */
import type { RuntimeServiceDefinition } from "@ctrd/api/cri/runtime/v1/api";
import type { MethodHandler } from "@ctrd/services";

/** Handlers of these methods. */
export type RuntimeMethods<K extends keyof RuntimeServiceDefinition["methods"]> = {
  readonly [M in K]: MethodHandler<RuntimeServiceDefinition["methods"][M]>;
};
