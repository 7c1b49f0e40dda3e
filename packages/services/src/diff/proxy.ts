import { DiffDefinition } from "@ctrd/api/services/diff/v1/diff";
import type { Differ } from "@ctrd/core/diff";
import { answered } from "../required.ts";
import type { RpcChannel } from "../rpc/index.ts";

/** The differ behind a Diff service. */
export function proxyDiffer(channel: RpcChannel): Differ {
  const client = channel.client(DiffDefinition);
  return {
    async apply(ctx, diff, mounts, options = {}) {
      const { payloads = new Map(), syncFs = false } = options;
      return answered(
        (await client.apply(ctx, { diff, mounts: [...mounts], payloads, syncFs })).applied,
        "a descriptor",
      );
    },
    async compare(ctx, lower, upper, options = {}) {
      const answer = await client.diff(ctx, {
        left: [...lower],
        right: [...upper],
        mediaType: options.mediaType ?? "",
        ref: options.reference ?? "",
        labels: options.labels ?? new Map(),
        sourceDateEpoch: options.sourceDateEpoch,
      });
      return answered(answer.diff, "a descriptor");
    },
  };
}
