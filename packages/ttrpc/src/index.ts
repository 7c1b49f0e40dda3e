/**
 * ttrpc: containerd's lean RPC over unix sockets, between daemon and shims. Client and server, unary and streaming.
 *
 * ```ts
 * const client = await TtrpcClient.connect("/run/containerd/s/…");
 * const { pid } = await client.call(TaskDefinition, "start", { id: "web", execId: "" }, { timeoutMs: 5000 });
 * ```
 *
 * @module
 */
export type { PeerCredentials, TtrpcCall } from "./call-context.ts";
export type { CallOptions } from "./client.ts";
export { TtrpcClient } from "./client.ts";
export type {
  MessageCodec,
  MethodDefinition,
  MethodName,
  MethodsOfKind,
  RequestOf,
  ResponseOf,
  ServiceDefinition,
} from "./definition.ts";
export type { Frame, FrameSink } from "./frame.ts";
export { encodeFrame, FrameDecoder, FrameFlag, frameHeaderLength, FrameType, maxFrameLength } from "./frame.ts";
export type { HandlerOf, Handlers } from "./handlers.ts";
export type { Metadata } from "./metadata.ts";
export { firstValue, metadataFromPairs, pairsFromMetadata } from "./metadata.ts";
export type { TtrpcServerOptions } from "./server.ts";
export { TtrpcServer } from "./server.ts";
