import { EventsDefinition as TtrpcEventsDefinition } from "@ctrd/api/services/ttrpc/events/v1/events";
import { createContext } from "@ctrd/core/context";
import { invalidArgument } from "@ctrd/core/errors";
import type { EventService } from "@ctrd/core/events";
import { EventPlugin } from "@ctrd/core/events";
import { LeasePlugin } from "@ctrd/core/leases";
import { operationService, OperationsPlugin } from "@ctrd/core/operations";
import type { AnyRegistration, InitContext, PluginRef, Registration, Requirement } from "@ctrd/core/plugin";
import { optional } from "@ctrd/core/plugin";
import { PodSandboxPlugin, SandboxControllerPlugin, SandboxStorePlugin } from "@ctrd/core/sandboxes";
import {
  ContainersService,
  ContentService,
  DiffService,
  ImagesService,
  IntrospectionServiceRef,
  NamespacesService,
  SnapshotsService,
  TasksService,
} from "@ctrd/core/services";
import type { BoundService, GrpcService, TtrpcService } from "@ctrd/services";
import {
  createHealth,
  GrpcPlugin,
  sandboxControllerLookup,
  serveContainers,
  serveContent,
  serveDiff,
  serveEvents,
  serveImages,
  serveIntrospection,
  serveLeases,
  serveNamespaces,
  serveOperations,
  serveSandboxControllers,
  serveSandboxes,
  serveSnapshots,
  serveTasks,
  serveVersion,
} from "@ctrd/services";
import { publishingController } from "./services/sandbox-controllers.ts";

function grpc(
  id: string,
  requires: readonly Requirement[],
  make: (ic: InitContext) => GrpcService | BoundService,
): Registration<GrpcService> {
  return {
    type: GrpcPlugin,
    id,
    requires,
    initFn(ic) {
      const made = make(ic);
      return "services" in made ? made : { services: [made] };
    },
  };
}

/** A gRPC plugin that serves one service plugin. */
function served<T>(id: string, ref: PluginRef<T>, serve: (service: T) => BoundService): Registration<GrpcService> {
  return grpc(id, [ref], (ic) => serve(ic.get(ref)));
}

/** Shims hand their events to the daemon over ttrpc; it is all they may do there. */
export function forwardOverTtrpc(events: EventService): TtrpcService {
  return {
    register(server) {
      server.register(TtrpcEventsDefinition, {
        async forward(call, request) {
          if (request.envelope === undefined) throw invalidArgument("forward event: envelope must be set");
          await events.forward(createContext({ signal: call.signal }), request.envelope);
          return {};
        },
      });
    },
  };
}

/** The containerd whose contracts are spoken: clients look at it before they use what is newer (docs/adr/0011). */
const contractVersion = "2.3.0";

/** containerd's API, one plugin for each service. */
export const grpcRegistrations: readonly AnyRegistration[] = [
  served("containers", ContainersService, serveContainers),
  served("content", ContentService, serveContent),
  served("diff", DiffService, serveDiff),
  served("images", ImagesService, serveImages),
  served("introspection", IntrospectionServiceRef, serveIntrospection),
  served("namespaces", NamespacesService, serveNamespaces),
  served("snapshots", SnapshotsService, serveSnapshots),
  served("tasks", TasksService, serveTasks),
  grpc("events", [EventPlugin], (ic) => {
    const events = ic.get(EventPlugin);
    return { services: [serveEvents(events)], ttrpc: forwardOverTtrpc(events) };
  }),
  grpc("healthcheck", [], () => createHealth().service),
  grpc("leases", [LeasePlugin], (ic) => serveLeases(ic.get(LeasePlugin))),
  grpc("operations", [OperationsPlugin], (ic) => serveOperations(operationService(ic.get(OperationsPlugin)))),
  grpc("sandbox-controllers", [EventPlugin, optional(SandboxControllerPlugin), optional(PodSandboxPlugin)], (ic) => {
    const events = ic.get(EventPlugin);
    const controllers = [...ic.getById(SandboxControllerPlugin), ...ic.getById(PodSandboxPlugin)];
    const publishing = controllers.map(([id, controller]) => [id, publishingController(controller, events)] as const);
    return serveSandboxControllers(sandboxControllerLookup(new Map(publishing)));
  }),
  grpc("sandboxes", [SandboxStorePlugin], (ic) => serveSandboxes(ic.get(SandboxStorePlugin))),
  grpc("version", [], ({ daemon: { version, revision } }) =>
    serveVersion({ version: `${contractVersion}+ctrd.${version}`, revision }),
  ),
];
