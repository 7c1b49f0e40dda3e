/**
 * A streaming runtime over processes and ports of this machine, for the tests of the streaming server.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { notFound } from "@ctrd/core/errors";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { finished } from "node:stream/promises";
import type { Readable, Writable } from "node:stream";
import { joinStreams } from "../src/streaming/index.ts";
import type {
  AttachCall,
  ExecCall,
  PortForwardCall,
  ProcessStreams,
  StreamingRuntime,
} from "../src/streaming/runtime.ts";

/** Runs commands as child processes. Container `missing` does not exist; attaching runs `cat`. */
export class LocalRuntime implements StreamingRuntime {
  /** Calls that have not returned. */
  running = 0;
  /** Calls whose client went before they returned. */
  aborted = 0;

  async exec(ctx: CallContext, call: ExecCall): Promise<number> {
    return this.#count(ctx, () => this.#run(ctx, call, call.cmd, call.containerId));
  }

  async attach(ctx: CallContext, call: AttachCall): Promise<void> {
    await this.#count(ctx, () => this.#run(ctx, call, ["cat"], call.containerId));
  }

  async portForward(ctx: CallContext, { port, stream }: PortForwardCall): Promise<void> {
    await this.#count(ctx, async () => {
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      await once(socket, "connect");
      await joinStreams(stream, socket, ctx.signal);
    });
  }

  async #count<T>(ctx: CallContext, call: () => Promise<T>): Promise<T> {
    this.running += 1;
    try {
      return await call();
    } finally {
      this.running -= 1;
      if (ctx.signal.aborted) this.aborted += 1;
    }
  }

  async #run(ctx: CallContext, streams: ProcessStreams, cmd: readonly string[], id: string): Promise<number> {
    if (id === "missing") throw notFound(`container "${id}"`);
    const [program = "", ...args] = cmd;
    const child = spawn(program, args, { stdio: "pipe" });
    ctx.signal.addEventListener("abort", () => child.kill("SIGKILL"), { once: true });
    if (ctx.signal.aborted) child.kill("SIGKILL");
    child.stdin.on("error", () => streams.stdin?.destroy());
    if (streams.stdin === undefined) child.stdin.end();
    else streams.stdin.pipe(child.stdin);
    streams.onResize(({ width, height }) => streams.stdout?.write(`[${width}x${height}]`));
    const copied = Promise.all([copy(child.stdout, streams.stdout), copy(child.stderr, streams.stderr)]);
    const [code] = (await once(child, "close")) as [number | null];
    await copied;
    return code ?? 137;
  }
}

async function copy(from: Readable, to: Writable | undefined): Promise<void> {
  if (to === undefined) from.resume();
  else {
    from.pipe(to, { end: false });
    to.on("close", () => from.resume());
  }
  await finished(from);
}
