import { PullsDefinition } from "@ctrd/api/ctrd/progress/v1/progress";
import type { PullService } from "@ctrd/core/pulls";
import type { BoundService } from "../rpc/index.ts";
import { bindService } from "../rpc/index.ts";

/** Serves the progress of pulls. Headers of Watch mean that it is registered. */
export function servePulls(pulls: PullService): BoundService {
  return bindService(PullsDefinition, {
    list: async (ctx, { reference, ended }) => ({ pulls: await pulls.list(ctx, reference, ended) }),
    watch(ctx, { reference }) {
      const changes = pulls.watch(ctx, reference);
      return (async function* () {
        for await (const some of changes) yield { pulls: some };
      })();
    },
  });
}
