/**
 * What the streaming server needs of the container runtime. The server owns connections, protocols and tokens; the runtime
 * owns processes and network namespaces.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import type { Duplex, Readable, Writable } from "node:stream";

/** Size of a terminal in characters; never zero. */
export interface TerminalSize {
  readonly width: number;
  readonly height: number;
}

/**
 * The client's ends of a process.
 *
 * Streams that the client did not ask for are absent. `stdin` ends when the client closes it or goes. `stdout` and `stderr`
 * fail when the client goes; they may be ended by the runtime, and are ended by the server when the call returns. Writing
 * has back-pressure as every Node stream, and stdin that nobody reads holds the client's connection up: destroy it when
 * the process reads no more.
 */
export interface ProcessStreams {
  readonly tty: boolean;
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  /** Calls `listener` with the last size that the client has told, now if there is one, and with each later one. */
  onResize(listener: (size: TerminalSize) => void): void;
}

/** A command in a container. */
export interface ExecCall extends ProcessStreams {
  readonly containerId: string;
  readonly cmd: readonly string[];
}

/** The main process of a container. */
export interface AttachCall extends ProcessStreams {
  readonly containerId: string;
}

/** One connection to a port of a pod. */
export interface PortForwardCall {
  readonly sandboxId: string;
  readonly port: number;
  /** The client's end. Join it to the port's with {@link joinStreams}. */
  readonly stream: Duplex;
}

/**
 * Serves the calls that clients make with the URLs of the streaming server.
 *
 * `ctx.signal` aborts when the client has gone, was idle for too long, or the server closes. All calls must then return
 * soon; what happens to the process of an exec is the runtime's decision. What a call throws is told to the client.
 */
export interface StreamingRuntime {
  /** Returns the exit code once the process has ended and its output was written. */
  exec(ctx: CallContext, call: ExecCall): Promise<number>;
  /** Returns when the process has ended or has closed its output. */
  attach(ctx: CallContext, call: AttachCall): Promise<void>;
  /** Returns when both directions have ended. */
  portForward(ctx: CallContext, call: PortForwardCall): Promise<void>;
}
