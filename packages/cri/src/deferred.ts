/**
 * The start of CRI, put off until the daemon serves: its programs are a tenth of the daemon's, and its state takes a
 * while to be found again. Calls that come before wait for it.
 *
 * @module
 */
import { ImageServiceDefinition, RuntimeServiceDefinition } from "@ctrd/api/cri/runtime/v1/api";
import type { CallContext } from "@ctrd/core/context";
import { untilAborted } from "@ctrd/core/context";
import { messageOf, unavailable } from "@ctrd/core/errors";
import type { InitContext } from "@ctrd/core/plugin";
import type { SandboxController } from "@ctrd/core/sandboxes";
import type { BoundService, GrpcService } from "@ctrd/services";
import type { OpenedCri } from "./open-cri.ts";

/** Makes a value when it is first asked for, once. */
export function deferred<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

/** How long the daemon has to itself, in milliseconds, when nobody calls. */
const headStartMs = 100;

/** Serves CRI once `open` has opened it, which is soon. What that throws is told to every call. */
export function serveDeferred(ic: InitContext<unknown>, open: () => Promise<OpenedCri>): GrpcService {
  let opening: Promise<OpenedCri> | undefined;
  const opened = (): Promise<OpenedCri> => (opening ??= reported(ic, open));
  const timer = setTimeout(() => void opened().catch(() => {}), headStartMs);
  timer.unref();
  ic.onClose(async () => {
    clearTimeout(timer);
    await (await opening?.catch(() => undefined))?.close();
  });
  return {
    services: [
      deferService(RuntimeServiceDefinition, async () => (await opened()).runtime),
      deferService(ImageServiceDefinition, async () => (await opened()).image),
    ],
  };
}

async function reported(ic: InitContext<unknown>, open: () => Promise<OpenedCri>): Promise<OpenedCri> {
  try {
    return await open();
  } catch (error) {
    if (!ic.signal.aborted) ic.log.error({ err: messageOf(error) }, "CRI does not work");
    throw unavailable(`CRI could not be started: ${messageOf(error)}`, { cause: error });
  }
}

type Handler = BoundService["handlers"][string];

/** A service whose handlers are those of another one that comes later. */
function deferService(definition: BoundService["definition"], service: () => Promise<BoundService>): BoundService {
  const handlers = Object.entries(definition.methods).map(([name, { responseStream }]): [string, Handler] => {
    const find = async (ctx: CallContext): Promise<Handler> => {
      const handler = (await untilAborted(service(), ctx.signal)).handlers[name];
      if (handler === undefined) throw unavailable(`${definition.fullName}.${name}`);
      return handler;
    };
    async function* stream(ctx: CallContext, request: never): AsyncIterable<unknown> {
      yield* (await find(ctx))(ctx, request) as AsyncIterable<unknown>;
    }
    const unary = async (ctx: CallContext, request: never): Promise<unknown> => (await find(ctx))(ctx, request);
    return [name, responseStream ? stream : unary];
  });
  return { definition, handlers: Object.fromEntries(handlers), borrowing: new Set() };
}

/** A sandbox controller that comes later. */
export function deferController(find: () => Promise<SandboxController>): SandboxController {
  return {
    create: async (...args) => (await find()).create(...args),
    start: async (...args) => (await find()).start(...args),
    platform: async (...args) => (await find()).platform(...args),
    stop: async (...args) => (await find()).stop(...args),
    wait: async (...args) => (await find()).wait(...args),
    status: async (...args) => (await find()).status(...args),
    shutdown: async (...args) => (await find()).shutdown(...args),
    metrics: async (...args) => (await find()).metrics(...args),
    update: async (...args) => (await find()).update(...args),
  };
}
