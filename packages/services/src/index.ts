/**
 * containerd's gRPC services as component interfaces, in both directions: `serve…` exposes an implementation,
 * `proxy…` is the same interface over a channel.
 *
 * ```ts
 * // A remote snapshotter, for ctrd or for containerd:
 * await using server = await serveSnapshotter("/run/mine.sock", mine);
 *
 * // The same snapshotter from elsewhere:
 * using channel = openChannel("/run/mine.sock");
 * const snapshotter = proxySnapshotter(channel, "mine");
 * ```
 *
 * @module
 */
export type {
  BoundService,
  CallOptions,
  ChannelOptions,
  ChannelState,
  ClientMethod,
  DuplexCall,
  ListenAddress,
  MessageCodec,
  MethodDefinition,
  MethodHandler,
  MethodShape,
  RpcChannel,
  RpcClient,
  RpcObserver,
  RpcServer,
  RpcServerOptions,
  ServerTls,
  ServiceDefinition,
  ServiceHandlers,
  SocketAddress,
  TcpAddress,
} from "./rpc/index.ts";
export {
  bindService,
  checkSocketPath,
  createRpcServer,
  defaultConnectTimeoutMs,
  defaultMaxMessageBytes,
  EncodedMessage,
  listen,
  maxSocketPath,
  methodPath,
  openChannel,
} from "./rpc/index.ts";
export type { MetricsSource, MetricsWriter } from "./metrics-source.ts";
export { MetricsPlugin, TaskMonitorPlugin } from "./metrics-source.ts";
export type { InstrumentOptions, MetricLabels } from "./metrics/instruments.ts";
export { Counter, Histogram } from "./metrics/instruments.ts";
export type { ContainerStep, NodeChanges, NodeResources, NodeRuntime, PodStep } from "./node-resources.ts";
export { NodeResourcesPlugin } from "./node-resources.ts";
export type { ServedSocket, ServeOnSocketOptions } from "./serve-on-socket.ts";
export { serveOnSocket } from "./serve-on-socket.ts";
export { serveContentStore, serveDiffer, serveSandboxController, serveSnapshotter } from "./serve-component.ts";
export type { GrpcService, TtrpcService } from "./plugin-types.ts";
export { GrpcPlugin, TtrpcPlugin } from "./plugin-types.ts";
export { proxyContainers } from "./containers/proxy.ts";
export { serveContainers } from "./containers/serve.ts";
export { proxyContentStore } from "./content/proxy.ts";
export { serveContent } from "./content/serve.ts";
export { proxyDiffer } from "./diff/proxy.ts";
export { serveDiff } from "./diff/serve.ts";
export { proxyEvents } from "./events/proxy.ts";
export { serveEvents } from "./events/serve.ts";
export { checkHealth } from "./health/proxy.ts";
export type { Health } from "./health/serve.ts";
export { createHealth } from "./health/serve.ts";
export { proxyImages } from "./images/proxy.ts";
export { serveImages } from "./images/serve.ts";
export { plainConfig } from "./introspection/plain-config.ts";
export { proxyIntrospection } from "./introspection/proxy.ts";
export { serveIntrospection } from "./introspection/serve.ts";
export { proxyLeases } from "./leases/proxy.ts";
export { serveLeases } from "./leases/serve.ts";
export { proxyOperations } from "./operations/proxy.ts";
export { serveOperations } from "./operations/serve.ts";
export { proxyNamespaces } from "./namespaces/proxy.ts";
export { serveNamespaces } from "./namespaces/serve.ts";
export { proxyPulls } from "./pulls/proxy.ts";
export { servePulls } from "./pulls/serve.ts";
export { proxySandboxController } from "./sandboxes/controller-proxy.ts";
export { anySandboxController, sandboxControllerLookup } from "./sandboxes/controller-lookup.ts";
export type { SandboxControllerLookup } from "./sandboxes/controller-lookup.ts";
export { serveSandboxControllers } from "./sandboxes/controller-serve.ts";
export type { TransferClient } from "./transfer/proxy.ts";
export { proxyTransfers } from "./transfer/proxy.ts";
export { proxySandboxes } from "./sandboxes/proxy.ts";
export { serveSandboxes } from "./sandboxes/serve.ts";
export { anySnapshotter, snapshotterLookup } from "./snapshots/lookup.ts";
export { proxySnapshotter } from "./snapshots/proxy.ts";
export { serveSnapshots } from "./snapshots/serve.ts";
export { proxyTasks } from "./tasks/proxy.ts";
export { serveTasks } from "./tasks/serve.ts";
export { fetchVersion } from "./version/proxy.ts";
export type { VersionInfo } from "./version/serve.ts";
export { serveVersion } from "./version/serve.ts";
