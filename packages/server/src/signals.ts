import type { Logger } from "@ctrd/core/log";
import { OperationsPlugin } from "@ctrd/core/operations";
import type { DaemonConfig } from "./config/index.ts";
import type { ComposedDaemon, Daemon } from "./daemon.ts";
import { plainMessage } from "./plain-message.ts";

/**
 * Binds the process's signals to the daemon until the process ends.
 *
 * SIGTERM and SIGINT stop it, a second one exits at once; SIGHUP reloads the configuration; SIGUSR1 logs its state;
 * SIGPIPE is ignored. An exception that nobody caught ends the process: what is on disk is consistent at any moment,
 * what is in memory no longer is.
 *
 * @param readConfig reads and checks the configuration anew
 * @param exit ends the process with a status, after flushing the log
 * @returns does what SIGHUP does
 */
export function bindSignals(
  daemon: ComposedDaemon,
  log: Logger,
  readConfig: () => Promise<DaemonConfig>,
  exit: (status: number) => void,
): () => void {
  const isStopping = bindStop(daemon, log, exit);
  const reload = createReload(daemon, log, readConfig, isStopping);
  process.on("SIGHUP", reload);
  process.on("SIGPIPE", () => {});
  // Node would open its debugger on this signal.
  process.on("SIGUSR1", () => dumpState(daemon, log));
  process.on("uncaughtException", (error) => {
    log.error({ err: error, stack: error.stack }, "uncaught exception");
    exit(1);
  });
  process.on("unhandledRejection", (reason) => {
    log.error({ err: reason, stack: reason instanceof Error ? reason.stack : undefined }, "unhandled rejection");
  });
  return reload;
}

/** @returns tells whether a signal to stop has come */
function bindStop(daemon: Daemon, log: Logger, exit: (status: number) => void): () => boolean {
  let stopping = false;
  const stop = (signal: string): void => {
    if (stopping) {
      log.warn({ signal }, "second signal: exiting at once");
      exit(1);
      return;
    }
    stopping = true;
    log.info({ signal }, "signal received");
    daemon.stop().then(
      () => exit(0),
      (error: unknown) => {
        log.error({ err: error }, "stop failed");
        exit(1);
      },
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  return () => stopping;
}

/** Never ends the daemon: what cannot be read or applied is logged, and everything stays as it was. */
function createReload(
  daemon: ComposedDaemon,
  log: Logger,
  readConfig: () => Promise<DaemonConfig>,
  isStopping: () => boolean,
): () => void {
  let isWaiting = false;
  const read = (): Promise<DaemonConfig> => {
    // What is written to the files from now on is for the next one.
    isWaiting = false;
    return readConfig();
  };
  const reload = async (): Promise<void> => {
    try {
      const { applied, needRestart, errors } = await daemon.reloadFrom(read);
      const counts = { applied: applied.length, needRestart: needRestart.length, errors: errors.length };
      log.info(counts, "configuration reloaded");
    } catch (error) {
      if (!isStopping())
        log.error({ error: plainMessage(error) }, "configuration not reloaded, the old one stays in force");
    } finally {
      isWaiting = false;
    }
  };
  return () => {
    if (isWaiting || isStopping()) return;
    log.info({ signal: "SIGHUP" }, "reload of the configuration asked for");
    isWaiting = true;
    void reload();
  };
}

function dumpState(daemon: Daemon, log: Logger): void {
  const resources: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1;
  const { rss, heapUsed, external } = process.memoryUsage();
  const uptime = Math.round(process.uptime());
  log.info({ pid: process.pid, uptime, memory: { rss, heapUsed, external }, resources }, "state of the process");
  for (const operations of daemon.getAll(OperationsPlugin)) {
    for (const { id, name, namespace, object, caller, startedAt, stages } of operations.list()) {
      const doing = stages.map((stage) => stage.name);
      const ageMs = Date.now() - startedAt;
      log.info({ id, operation: name, namespace, object, caller, ageMs, stages: doing }, "state of an operation");
    }
  }
  for (const { type, id, state, error, source } of daemon.plugins) {
    log.info({ plugin: `${type}.${id}`, state, error, source }, "state of a plugin");
  }
}
