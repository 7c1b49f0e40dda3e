import type { HealthCheckResponse } from "@ctrd/api/grpc/health/v1/health";
import { HealthCheckResponse_ServingStatus as Status, HealthDefinition } from "@ctrd/api/grpc/health/v1/health";
import { notFound } from "@ctrd/core/errors";
import type { BoundService } from "../rpc/index.ts";
import { bindService } from "../rpc/index.ts";

/** Health of a server and of its services, served by the standard Health service. */
export interface Health {
  readonly service: BoundService;
  /** Sets the state of a service; the empty name is the server as a whole. Watchers are told. */
  set(service: string, serving: boolean): void;
}

/** Makes the health of a server, which serves as a whole from the start. */
export function createHealth(): Health {
  const states = new Map<string, Status>([["", Status.SERVING]]);
  const watchers = new Set<() => void>();
  return {
    service: bindService(HealthDefinition, {
      async check(_ctx, request) {
        const status = states.get(request.service);
        if (status === undefined) throw notFound(`health of service "${request.service}"`);
        return { status };
      },
      async list() {
        return { statuses: new Map([...states].map(([name, status]) => [name, { status }])) };
      },
      watch: (ctx, request) => watch(states, watchers, request.service, ctx.signal),
    }),
    set(service, serving) {
      states.set(service, serving ? Status.SERVING : Status.NOT_SERVING);
      for (const changed of [...watchers]) changed();
    },
  };
}

/** The state now, and each time it is another one. */
async function* watch(
  states: ReadonlyMap<string, Status>,
  watchers: Set<() => void>,
  service: string,
  signal: AbortSignal,
): AsyncGenerator<HealthCheckResponse> {
  let told: Status | undefined;
  while (!signal.aborted) {
    const status = states.get(service) ?? Status.SERVICE_UNKNOWN;
    if (status !== told) {
      told = status;
      yield { status };
      continue;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    const changed = (): void => resolve();
    watchers.add(changed);
    signal.addEventListener("abort", changed, { once: true });
    try {
      await promise;
    } finally {
      watchers.delete(changed);
      signal.removeEventListener("abort", changed);
    }
  }
}
