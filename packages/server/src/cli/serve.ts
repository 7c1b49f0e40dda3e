import { flushCompileCache } from "node:module";
import { createDaemon } from "../daemon.ts";
import { createLogger } from "../log.ts";
import { bindSignals } from "../signals.ts";
import type { Arguments } from "./arguments.ts";
import { loadComposition } from "./composition.ts";

/** Runs the daemon until a signal ends it. */
export async function serve(options: Arguments): Promise<void> {
  // Until the daemon has its handler, this signal would open Node's debugger.
  process.on("SIGUSR1", ignore);
  const { plugins, config } = await loadComposition(options);
  const { log, flush } = createLogger(config.table.debug);
  const exit = (status: number): void => {
    flush();
    process.exit(status);
  };
  const daemon = createDaemon({ plugins, config, log });
  bindSignals(daemon, log, exit);
  process.off("SIGUSR1", ignore);
  try {
    await daemon.start();
  } catch (error) {
    flush();
    throw error;
  }
  // A daemon may be killed before it exits by itself, which is when Node would write the cache.
  flushCompileCache();
}

function ignore(): void {}
