import { MetadataPlugin } from "@ctrd/core/metadata";
import type { Registration } from "@ctrd/core/plugin";
import type { StreamManager } from "@ctrd/core/streaming";
import { StreamingPlugin } from "@ctrd/core/streaming";
import type { GrpcService } from "@ctrd/services";
import { GrpcPlugin } from "@ctrd/services";
import { createStreamManager, LeaseWatch, serveStreaming } from "./index.ts";

export const streaming: Registration<StreamManager> = {
  type: StreamingPlugin,
  id: "manager",
  requires: [MetadataPlugin],
  initFn(ic) {
    const watch = new LeaseWatch(ic.get(MetadataPlugin), ic.log);
    ic.onClose(() => watch.close());
    return createStreamManager(watch);
  },
};

export const grpcStreaming: Registration<GrpcService> = {
  type: GrpcPlugin,
  id: "streaming",
  requires: [StreamingPlugin],
  initFn: (ic) => ({ services: [serveStreaming(ic.get(StreamingPlugin))] }),
};
