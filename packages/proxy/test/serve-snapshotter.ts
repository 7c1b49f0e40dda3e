/**
 * A process that is a snapshotter: `serve-snapshotter.ts <socket>`. Tests start it and kill it.
 *
 * A prepare answers with what it was called with; the key `slow` and a walk are never answered, the key `busy` is refused.
 */
import type { CallContext } from "@ctrd/core/context";
import { unavailable } from "@ctrd/core/errors";
import type { Mount } from "@ctrd/core/records";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { serveSnapshotter } from "@ctrd/services";

const prepare = async (ctx: CallContext, key: string, parent: string): Promise<Mount[]> => {
  if (key === "slow") await new Promise(() => {});
  if (key === "busy") throw unavailable(`snapshot "${key}" is locked`);
  return [{ type: "seen", source: ctx.namespace, target: ctx.lease ?? "", options: [key, parent] }];
};
const snapshotter = {
  prepare,
  async *walk() {
    await new Promise(() => {});
  },
} satisfies Partial<Snapshotter>;

const [path = ""] = process.argv.slice(2);
await serveSnapshotter(path, snapshotter as unknown as Snapshotter);
process.send?.("ready");
