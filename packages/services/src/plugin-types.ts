import type { PluginType } from "@ctrd/core/plugin";
import { pluginType } from "@ctrd/core/plugin";
import type { TtrpcServer } from "@ctrd/ttrpc";
import type { BoundService } from "./rpc/index.ts";

/** What a gRPC plugin is: services that the daemon's gRPC server exposes. */
export interface GrpcService {
  readonly services: readonly BoundService[];
  /** Whether they are served over TCP as well, when the daemon has an address for that. */
  readonly tcp?: boolean;
  /** What the plugin serves over ttrpc besides. */
  readonly ttrpc?: TtrpcService;
}

/** Plugins whose services the daemon serves over gRPC. */
export const GrpcPlugin: PluginType<GrpcService> = pluginType("io.containerd.grpc.v1");

/** What a ttrpc plugin is: it adds its services to the daemon's ttrpc server. */
export interface TtrpcService {
  register(server: TtrpcServer): void;
}

/** Plugins whose services the daemon serves over ttrpc. */
export const TtrpcPlugin: PluginType<TtrpcService> = pluginType("io.containerd.ttrpc.v1");
