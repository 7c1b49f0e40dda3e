/**
 * The daemon's services without a daemon: components as clients see them (events, limits, checks), and the servers.
 *
 * ```ts
 * const tasks = tasksService({ runtime, containers, content, stateTimeoutMs: 2000, statsTimeoutMs: 2000 });
 * await using server = await serveOnSocket("/run/mine.sock", [serveTasks(tasks)]);
 * ```
 *
 * @module
 */
export { containersService } from "./services/containers.ts";
export type { DiffServiceOptions } from "./services/diff.ts";
export { diffService } from "./services/diff.ts";
export { imagesService } from "./services/images.ts";
export type { IntrospectionSources } from "./services/introspection.ts";
export { introspectionService } from "./services/introspection.ts";
export { namespacesService } from "./services/namespaces.ts";
export type { TasksServiceOptions } from "./tasks/service.ts";
export { tasksService } from "./tasks/service.ts";
export { forwardOverTtrpc } from "./grpc-registrations.ts";
export { grpcServer } from "./servers/grpc-server.ts";
export { metricsServer } from "./servers/metrics-server.ts";
export { ttrpcServer } from "./servers/ttrpc-server.ts";
