import { ImageVerifierPlugin, workingVerifiers } from "@ctrd/core/image-verifier";
import { LeasePlugin } from "@ctrd/core/leases";
import { MetadataPlugin } from "@ctrd/core/metadata";
import type { AnyRegistration, Registration } from "@ctrd/core/plugin";
import { optional } from "@ctrd/core/plugin";
import { PullsPlugin } from "@ctrd/core/pulls";
import { DiffService } from "@ctrd/core/services";
import { StreamingPlugin } from "@ctrd/core/streaming";
import type { TransferService } from "@ctrd/core/transfer";
import { TransferPlugin } from "@ctrd/core/transfer";
import type { GrpcService } from "@ctrd/services";
import { GrpcPlugin, snapshotterLookup } from "@ctrd/services";
import type { TransferConfig } from "./config.ts";
import { transferConfig } from "./config.ts";
import { createTransferService, serveTransfer } from "./index.ts";
import { grpcStreaming, streaming } from "./streaming-plugins.ts";

const transfer: Registration<TransferService, TransferConfig> = {
  type: TransferPlugin,
  id: "local",
  requires: [
    LeasePlugin,
    MetadataPlugin,
    DiffService,
    StreamingPlugin,
    optional(ImageVerifierPlugin),
    optional(PullsPlugin),
  ],
  config: transferConfig,
  initFn(ic) {
    const { content, images, snapshotters } = ic.get(MetadataPlugin);
    return createTransferService({
      content,
      images,
      leases: ic.get(LeasePlugin),
      snapshotters: snapshotterLookup(snapshotters),
      applier: ic.get(DiffService),
      streams: ic.get(StreamingPlugin),
      hostsDirectories: ic.config.config_path.split(":").filter((path) => path !== ""),
      maxConcurrentDownloads: ic.config.max_concurrent_downloads,
      maxConcurrentUploads: ic.config.max_concurrent_uploaded_layers,
      defaultSnapshotter: ic.config.default_snapshotter,
      verifiers: workingVerifiers(ic),
      pulls: ic.getAll(PullsPlugin)[0],
    });
  },
};

const grpcTransfer: Registration<GrpcService> = {
  type: GrpcPlugin,
  id: "transfer",
  requires: [TransferPlugin, StreamingPlugin],
  initFn: (ic) => ({ services: [serveTransfer(ic.get(TransferPlugin))] }),
};

const registrations: readonly AnyRegistration[] = [streaming, transfer, grpcStreaming, grpcTransfer].map(
  (registration) => registration as AnyRegistration,
);
export default registrations;
