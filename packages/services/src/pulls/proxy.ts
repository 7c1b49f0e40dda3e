import { PullsDefinition } from "@ctrd/api/ctrd/progress/v1/progress";
import type { Pull, PullService } from "@ctrd/core/pulls";
import type { RpcChannel } from "../rpc/index.ts";

/** The pulls of a daemon; one that is not ctrd answers `not-implemented`. */
export function proxyPulls(channel: RpcChannel): PullService {
  const client = channel.client(PullsDefinition);
  return {
    list: async (ctx, reference, ended = false) => (await client.list(ctx, { reference, ended })).pulls,
    watch(ctx, reference) {
      const answers = client.watch(ctx, { reference });
      return (async function* (): AsyncGenerator<Pull[]> {
        try {
          for await (const { pulls } of answers) yield pulls;
        } catch (error) {
          // For a watcher its own cancellation is an end.
          if (!ctx.signal.aborted) throw error;
        }
      })();
    },
  };
}
