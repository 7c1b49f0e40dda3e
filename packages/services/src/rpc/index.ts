/**
 * gRPC behind a thin interface: register services, listen, call. The server speaks it on an HTTP/2 of its own
 * (src/http2), the client with grpc-js; nothing outside this folder knows.
 *
 * @module
 */
export type { ChannelOptions, ChannelState, RpcChannel, RpcClient } from "./channel.ts";
export { defaultConnectTimeoutMs, openChannel } from "./channel.ts";
export type { CallOptions, ClientMethod, DuplexCall } from "./client-methods.ts";
export type {
  BoundService,
  MessageCodec,
  MethodDefinition,
  MethodHandler,
  ServiceDefinition,
  ServiceHandlers,
} from "./definition.ts";
export { bindService, methodPath } from "./definition.ts";
export { EncodedMessage } from "./encoded-message.ts";
export type { ListenAddress, SocketAddress, TcpAddress } from "./listener.ts";
export { checkSocketPath, listen, maxSocketPath } from "./listener.ts";
export { defaultMaxMessageBytes } from "./limits.ts";
export type { RpcServer, RpcServerOptions, ServerTls } from "./server.ts";
export { createRpcServer } from "./server.ts";
export type { MethodShape, RpcObserver } from "./server-methods.ts";
