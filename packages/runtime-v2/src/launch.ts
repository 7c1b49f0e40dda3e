/**
 * Starts shims: the binary's `start`, the connection, and the end of one that is of no use.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { messageOf } from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import type { Any } from "@ctrd/core/records";
import { traced } from "@ctrd/core/tracing";
import type { Endpoint } from "./address.ts";
import type { ShimProgram } from "./binary-lookup.ts";
import type { Bundle } from "./bundle.ts";
import { connectShim } from "./connect.ts";
import { BundleFile } from "./layout.ts";
import { isUnanswered, killSession, withinLimit } from "./limits.ts";
import type { ShimManager } from "./manager.ts";
import type { StartedShim } from "./shim-binary.ts";
import { startShim } from "./shim-binary.ts";
import { ShimLog } from "./shim-log.ts";
import type { ShimParts } from "./shim.ts";
import { isClosed, TaskClient } from "./task-client.ts";

/** Starts a shim and connects to it. On failure nothing of it stays but the bundle. */
export async function launchShim(
  ctx: CallContext,
  manager: ShimManager,
  bundle: Bundle,
  program: ShimProgram,
  options: Any | undefined,
): Promise<ShimParts> {
  const log = new ShimLog(bundle.file(BundleFile.log), manager.log.child({ task: bundle.id }));
  try {
    FAILPOINT: if (failpoints.on) await failpoints.at("shim.start");
    // Not stopped by the caller's signal: half-started, it could not be found again to be ended.
    const [started, noted] = await Promise.allSettled([
      traced(ctx, "shim.start", { "shim.path": program.path }, () =>
        withinLimit(manager, { limit: "start", name: "start", shim: program.path }, (timeoutMs) =>
          startShim(manager.lookup, program, bundle, manager.settings, options, timeoutMs),
        ),
      ),
      bundle.writeShimBinary(program.path),
    ]);
    if (started.status === "rejected") throw started.reason;
    const { endpoint, session } = started.value;
    try {
      if (noted.status === "rejected") throw noted.reason;
      FAILPOINT: if (failpoints.on) await failpoints.at("shim.connect");
      const client = await traced(ctx, "shim.connect", {}, () => connectNoted(manager, bundle, started.value, program));
      return { bundle, endpoint, client, binary: program.path, log, sandboxed: false, session };
    } catch (error) {
      await endStarted(manager, bundle, endpoint);
      if (isUnanswered(error)) await killUnanswering(manager, bundle, session);
      throw error;
    }
  } catch (error) {
    log.close();
    throw error;
  }
}

/** Connects to a started shim, and notes in the bundle how. */
async function connectNoted(
  manager: ShimManager,
  bundle: Bundle,
  { endpoint }: StartedShim,
  { path: shim }: ShimProgram,
): Promise<TaskClient> {
  const [connected, noted] = await Promise.allSettled([
    withinLimit(manager, { limit: "start", name: "connect", shim }, (timeoutMs) =>
      connectShim(endpoint, { timeoutMs, retry: true }),
    ),
    bundle.writeEndpoint(endpoint),
  ]);
  if (connected.status === "rejected") throw connected.reason;
  if (noted.status === "fulfilled") return new TaskClient(connected.value, endpoint.version, bundle.namespace);
  connected.value.close();
  throw noted.reason;
}

/** Ends a shim that was started in vain. Once its bundle is gone nobody would find it again. */
async function endStarted(manager: ShimManager, bundle: Bundle, endpoint: Endpoint): Promise<void> {
  try {
    const connection = await connectShim(endpoint, { timeoutMs: manager.timeouts.shutdown, retry: true });
    await shutDownShim(manager, bundle, new TaskClient(connection, endpoint.version, bundle.namespace));
    connection.close();
  } catch (error) {
    manager.log.error({ task: bundle.id, err: messageOf(error) }, "end started shim, it may be left running");
  }
}

/** How long the end of a shim is awaited that has answered to Shutdown. */
const endMs = 200;

/** Asks a shim to end. A failure is logged. */
export async function shutDownShim(manager: ShimManager, bundle: Bundle, client: TaskClient): Promise<void> {
  const closed = new Promise<void>((resolve) => client.connection.onClose(() => resolve()));
  try {
    await client.call("shutdown", { id: bundle.id, now: true }, { timeoutMs: manager.timeouts.shutdown });
    // One that serves its group's other containers answers and stays.
    await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, endMs))]);
  } catch (error) {
    if (!isClosed(error)) manager.log.warn({ task: bundle.id, err: messageOf(error) }, "shut down shim");
  }
}

/** Ends a shim that does not answer, by force: asked to end it would not answer either. */
export async function killUnanswering(
  manager: ShimManager,
  bundle: Bundle,
  session: number | undefined,
): Promise<void> {
  const killed = session === undefined ? 0 : await killSession(session);
  const fields = { task: bundle.id, namespace: bundle.namespace, killed };
  if (killed > 0) manager.log.warn(fields, "killed shim that did not answer, or not end");
  else manager.log.error(fields, "shim that did not answer, or not end, may be left running");
}
