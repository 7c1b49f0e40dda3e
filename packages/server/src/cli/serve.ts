import { flushCompileCache } from "node:module";
import type { Logger } from "@ctrd/core/log";
import { describeSource } from "@ctrd/core/plugin";
import type { Discovery } from "../app/discover.ts";
import { createDaemon } from "../daemon.ts";
import { createLogger } from "../log.ts";
import { bindSignals } from "../signals.ts";
import type { Arguments } from "./arguments.ts";
import { loadComposition, loadConfig } from "./composition.ts";
import type { EarlySignals } from "./early-signals.ts";

/** Runs the daemon until a signal ends it. */
export async function serve(options: Arguments, early: EarlySignals): Promise<void> {
  const { plugins, app, config } = await loadComposition(options);
  const { log, flush, configure } = createLogger(config.table.debug);
  if (app !== undefined) logApp(app, log);
  const exit = (status: number): void => {
    flush();
    process.exit(status);
  };
  const daemon = createDaemon({ plugins, config, log, setLog: configure });
  const reload = bindSignals(daemon, log, () => loadConfig(options, plugins), exit);
  const isReloadWanted = early.release();
  try {
    await daemon.start();
  } catch (error) {
    flush();
    throw error;
  }
  // A daemon may be killed before it exits by itself, which is when Node would write the cache.
  flushCompileCache();
  if (isReloadWanted) reload();
}

/** What the app folder added to the daemon, and what of it was passed over. */
function logApp({ directory, builtins, packages, passedOver }: Discovery, log: Logger): void {
  log.info({ app: directory, packages: packages.map(({ source }) => describeSource(source)), builtins }, "app");
  for (const { name, reason } of passedOver) log.info({ package: name, reason }, "dependency passed over");
}
