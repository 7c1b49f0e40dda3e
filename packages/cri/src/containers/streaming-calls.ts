/**
 * Exec, attach and port-forward for clients of the streaming server.
 *
 * @module
 */
import { streams } from "@ctrd/client";
import type { CallContext } from "@ctrd/core/context";
import { failedPrecondition, isKind, messageOf } from "@ctrd/core/errors";
import { hasHostNetwork } from "../sandboxes/pod-files.ts";
import { connectInPod } from "../sandboxes/pod-port.ts";
import type { Cri } from "../store/cri.ts";
import type { AttachCall, ExecCall, PortForwardCall, ProcessStreams, StreamingRuntime } from "../streaming/runtime.ts";
import { joinStreams } from "../streaming/join-streams.ts";
import { makeExec, runningTask } from "./exec.ts";

/** Serves the calls of streaming clients. */
export function streamingRuntime(cri: Cri): StreamingRuntime {
  return {
    exec: (ctx, call) => exec(cri, cri.serving(ctx), call),
    attach: (ctx, call) => attach(cri, cri.serving(ctx), call),
    portForward: (ctx, call) => portForward(cri, cri.serving(ctx), call),
  };
}

async function exec(cri: Cri, ctx: CallContext, call: ExecCall): Promise<number> {
  const container = cri.containers.get(call.containerId);
  const io = streams({
    stdin: call.stdin ?? false,
    stdout: call.stdout ?? false,
    stderr: call.stderr ?? false,
    terminal: call.tty,
  });
  const process = await makeExec(cri, ctx, container, { cmd: call.cmd, tty: call.tty, io });
  try {
    await process.start({ signal: ctx.signal, span: ctx.span, operation: ctx.operation });
    followSize(cri, call, process);
    const { exitCode } = await process.wait({ signal: ctx.signal, span: ctx.span, operation: ctx.operation });
    await process.delete();
    return exitCode;
  } finally {
    // When the client has gone the program goes too.
    call.stdin?.destroy();
    await process[Symbol.asyncDispose]();
  }
}

async function attach(cri: Cri, ctx: CallContext, call: AttachCall): Promise<void> {
  const container = cri.containers.get(call.containerId);
  const task = runningTask(container);
  const { io } = container;
  if (io === undefined) throw failedPrecondition(`attach to container "${container.id}": its streams are lost`);
  followSize(cri, call, task);
  await io.attach(call, ctx.signal);
}

function followSize(
  cri: Cri,
  call: ProcessStreams,
  process: { resize(width: number, height: number): Promise<void> },
): void {
  if (!call.tty) return;
  call.onResize(({ width, height }) => {
    process.resize(width, height).catch((error: unknown) => {
      // It has just ended.
      if (!isKind(error, "not-found")) cri.log.debug({ err: messageOf(error) }, "terminal not resized");
    });
  });
}

async function portForward(cri: Cri, ctx: CallContext, call: PortForwardCall): Promise<void> {
  const sandbox = cri.sandboxes.get(call.sandboxId);
  if (sandbox.state !== "ready") throw failedPrecondition(`port-forward: pod sandbox "${sandbox.id}" is not ready`);
  const { config, netnsPath } = sandbox.metadata;
  const port = await connectInPod(hasHostNetwork(config) ? "" : netnsPath, call.port, ctx.signal);
  await joinStreams(call.stream, port, ctx.signal);
}
