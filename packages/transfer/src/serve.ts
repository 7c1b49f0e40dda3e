import { TransferDefinition } from "@ctrd/api/services/transfer/v1/transfer";
import { invalidArgument } from "@ctrd/core/errors";
import type { TransferService } from "@ctrd/core/transfer";
import type { BoundService } from "@ctrd/services";
import { bindService } from "@ctrd/services";

/** Serves containerd's Transfer service. */
export function serveTransfer(transfers: TransferService): BoundService {
  return bindService(TransferDefinition, {
    async transfer(ctx, { source, destination, options }) {
      if (source === undefined || destination === undefined) {
        throw invalidArgument("transfer: source and destination must be set");
      }
      await transfers.transfer(ctx, source, destination, { progressStream: options?.progressStream ?? "" });
      return {};
    },
  });
}
