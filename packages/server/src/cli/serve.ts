import { flushCompileCache } from "node:module";
import { setFlagsFromString } from "node:v8";
import { failpoints } from "@ctrd/core/failpoints";
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
  collectAtOnce();
  const { plugins, app, config } = await loadComposition(options);
  const { log, flush, configure } = createLogger(config.table.debug);
  if (app !== undefined) logApp(app, log);
  FAILPOINT: if (failpoints.on) log.warn({}, "CTRD_FAILPOINTS is set: this daemon fails on purpose");
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

/**
 * Buffers count as garbage of V8's, and while content is uploaded so many come and go that it never stops marking its
 * heap in small steps: 50 ms of event loop for a pull of 60 MB. In one go a collection takes 20 ms here (45 MB of heap),
 * and comes after two such pulls.
 */
function collectAtOnce(): void {
  setFlagsFromString("--no-incremental-marking");
}

/** What the app folder added to the daemon, and what of it was passed over. */
function logApp({ directory, builtins, packages, passedOver }: Discovery, log: Logger): void {
  log.info({ app: directory, packages: packages.map(({ source }) => describeSource(source)), builtins }, "app");
  for (const { name, reason } of passedOver) log.info({ package: name, reason }, "dependency passed over");
}
