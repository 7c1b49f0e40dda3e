import { OperationsDefinition } from "@ctrd/api/ctrd/services/operations/v1/operations";
import type { OperationService } from "@ctrd/core/operations";
import type { BoundService } from "../rpc/index.ts";
import { bindService } from "../rpc/index.ts";

/** Serves what a daemon is doing, as ctrd's own Operations service. */
export function serveOperations(operations: OperationService): BoundService {
  return bindService(OperationsDefinition, {
    list: async (ctx, { passive }) => ({ operations: await operations.list(ctx, { passive }) }),
  });
}
