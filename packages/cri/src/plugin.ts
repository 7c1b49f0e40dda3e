import type { AnyRegistration, Registration } from "@ctrd/core/plugin";
import type { RuntimeConfig } from "./config/runtime-config.ts";
import { runtimeConfig } from "./config/runtime-config.ts";
import { CriRuntimePlugin } from "./plugin-types.ts";

const runtime: Registration<RuntimeConfig, RuntimeConfig> = {
  type: CriRuntimePlugin.type,
  id: CriRuntimePlugin.id,
  config: runtimeConfig,
  initFn: (ic) => ic.config,
};

const registrations: readonly AnyRegistration[] = [runtime as AnyRegistration];
export default registrations;
