/**
 * The clients that are connected.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { messageOf } from "@ctrd/core/errors";
import type { IncomingMessage } from "node:http";
import type { UpgradeRequest } from "./http-upgrade.ts";
import { switchProtocols } from "./http-upgrade.ts";
import { forward } from "./port-forward/forward.ts";
import type { PortForwardOptions } from "./port-forward/spdy.ts";
import { agreePortForward, servePortForwardSpdy } from "./port-forward/spdy.ts";
import { servePortForwardWebSocket } from "./port-forward/websocket.ts";
import type { CommandChannels, CommandRequest } from "./remote-command/session.ts";
import { runCommand } from "./remote-command/session.ts";
import { agreeCommand, openSpdyCommand } from "./remote-command/spdy.ts";
import { openWebSocketCommand } from "./remote-command/websocket.ts";
import type { StreamingRequest } from "./requests.ts";
import type { StreamingRuntime } from "./runtime.ts";
import { isWebSocketRequest } from "./websocket/handshake.ts";

/** What sessions are served with. */
export interface SessionOptions {
  readonly context: CallContext;
  readonly idleTimeoutMs: number;
  readonly streamCreationTimeoutMs: number;
}

const keepAliveMs = 60_000;

/** Either kind of connection. */
interface Connection {
  readonly closed: Promise<void>;
  close(): Promise<void>;
}

/** Serves upgraded requests until their clients go. */
export class StreamingSessions {
  readonly #runtime: StreamingRuntime;
  readonly #options: SessionOptions;
  readonly #sessions = new Set<{ readonly connection: Connection; readonly over: Promise<void> }>();

  constructor(runtime: StreamingRuntime, options: SessionOptions) {
    this.#runtime = runtime;
    this.#options = options;
  }

  /** @throws Refusal when the request cannot be upgraded */
  check(request: IncomingMessage, call: StreamingRequest): void {
    if (call.kind === "portforward") agreePortForward(request);
    else agreeCommand(request);
  }

  /** @throws Refusal when the request cannot be upgraded */
  serve(upgrade: UpgradeRequest, call: StreamingRequest): void {
    const gone = new AbortController();
    const ctx = { ...this.#options.context, signal: gone.signal };
    const work = call.kind === "portforward" ? this.#forward(ctx, upgrade, call) : this.#run(ctx, upgrade, call);
    const { connection } = work;
    const { socket } = upgrade.request;
    socket.setNoDelay(true);
    // Clients that vanish without a word are found so.
    socket.setKeepAlive(true, keepAliveMs);
    socket.setTimeout(this.#options.idleTimeoutMs, () => {
      ctx.log.info({ call: call.kind }, "closing idle streaming connection");
      socket.destroy();
    });
    void connection.closed.then(() => gone.abort(new Error("the client has gone")));
    const session = { connection, over: Promise.all([work.done, connection.closed]).then(() => {}) };
    this.#sessions.add(session);
    session.over.then(
      () => this.#sessions.delete(session),
      (error: unknown) => {
        this.#sessions.delete(session);
        ctx.log.warn({ call: call.kind, err: messageOf(error) }, "streaming session failed");
        socket.destroy();
      },
    );
  }

  /** Closes all connections and waits for the runtime's calls to return. */
  async close(): Promise<void> {
    const sessions = [...this.#sessions];
    await Promise.all(sessions.map(({ connection }) => connection.close()));
    await Promise.allSettled(sessions.map(({ over }) => over));
  }

  #run(
    ctx: CallContext,
    upgrade: UpgradeRequest,
    call: CommandRequest,
  ): { connection: Connection; done: Promise<void> } {
    const { log } = ctx;
    if (isWebSocketRequest(upgrade.request)) {
      const { connection, channels } = openWebSocketCommand(upgrade, call, log);
      return { connection, done: this.#finish(ctx, call, connection, Promise.resolve(channels)) };
    }
    const timeoutMs = this.#options.streamCreationTimeoutMs;
    const { connection, channels } = openSpdyCommand(upgrade, call, { timeoutMs, log });
    return { connection, done: this.#finish(ctx, call, connection, channels) };
  }

  async #finish(
    ctx: CallContext,
    call: CommandRequest,
    connection: Connection,
    opening: Promise<CommandChannels | undefined>,
  ): Promise<void> {
    const channels = await opening;
    if (channels === undefined) ctx.log.debug({ call: call.kind }, "streaming client did not open its streams in time");
    else await runCommand(ctx, this.#runtime, call, channels);
    await connection.close();
  }

  #forward(
    ctx: CallContext,
    upgrade: UpgradeRequest,
    { request: { podSandboxId: sandboxId, port: ports } }: StreamingRequest & { kind: "portforward" },
  ): { connection: Connection; done: Promise<void> } {
    const timeoutMs = this.#options.streamCreationTimeoutMs;
    const running = new Set<Promise<void>>();
    const options: PortForwardOptions = {
      sandboxId,
      timeoutMs,
      log: ctx.log,
      forward: (one) => {
        const work = forward(ctx, this.#runtime, one).finally(() => running.delete(work));
        running.add(work);
        return work;
      },
    };
    const connection = openPortForward(upgrade, ports, options);
    return { connection, done: connection.closed.then(async () => void (await Promise.all(running))) };
  }
}

function openPortForward(upgrade: UpgradeRequest, ports: readonly number[], options: PortForwardOptions): Connection {
  if (isWebSocketRequest(upgrade.request)) return servePortForwardWebSocket(upgrade, ports, options);
  const { headers } = agreePortForward(upgrade.request);
  switchProtocols(upgrade.socket, headers);
  return servePortForwardSpdy(upgrade.socket, upgrade.head, options);
}
