/**
 * gRPC behind a thin interface: register services, listen, call. Nothing outside this folder knows which library does
 * it.
 *
 * @module
 */
export type { ChannelOptions, RpcChannel, RpcClient } from "./channel.ts";
export { defaultConnectTimeoutMs, openChannel } from "./channel.ts";
export type { CallOptions, ClientMethod, DuplexCall } from "./client-methods.ts";
export type {
  AnyHandler,
  BoundService,
  MessageCodec,
  MessageOf,
  MethodDefinition,
  MethodHandler,
  RequestOf,
  ResponseOf,
  ServiceDefinition,
  ServiceHandlers,
} from "./definition.ts";
export { bindService, methodPath } from "./definition.ts";
export type { ListenAddress, SocketAddress, TcpAddress } from "./listener.ts";
export { checkSocketPath, listen, maxSocketPath } from "./listener.ts";
export { defaultMaxMessageBytes } from "./limits.ts";
export type { RpcObserver, RpcServer, RpcServerOptions } from "./server.ts";
export { createRpcServer } from "./server.ts";
export type { MethodShape } from "./server-methods.ts";
