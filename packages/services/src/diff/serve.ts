import { DiffDefinition } from "@ctrd/api/services/diff/v1/diff";
import type { CompareOptions, Differ } from "@ctrd/core/diff";
import { required } from "../required.ts";
import type { BoundService } from "../rpc/index.ts";
import { bindService } from "../rpc/index.ts";

/** Serves a differ as containerd's Diff service. */
export function serveDiff(differ: Differ): BoundService {
  return bindService(DiffDefinition, {
    async apply(ctx, request) {
      const { payloads, syncFs } = request;
      return { applied: await differ.apply(ctx, required(request.diff, "diff"), request.mounts, { payloads, syncFs }) };
    },
    async diff(ctx, request) {
      const options: CompareOptions = { labels: request.labels };
      if (request.mediaType !== "") options.mediaType = request.mediaType;
      if (request.ref !== "") options.reference = request.ref;
      if (request.sourceDateEpoch !== undefined) options.sourceDateEpoch = request.sourceDateEpoch;
      return { diff: await differ.compare(ctx, request.left, request.right, options) };
    },
  });
}
