import type { Operations } from "@ctrd/core/operations";
import { createOperations, OperationsPlugin } from "@ctrd/core/operations";
import type { Registration } from "@ctrd/core/plugin";

/** What the daemon is doing, in memory. */
export const operationsRegistration: Registration<Operations> = {
  type: OperationsPlugin,
  id: "local",
  initFn: () => createOperations(),
};
