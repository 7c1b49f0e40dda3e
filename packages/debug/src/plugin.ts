import { dirname, join } from "node:path";
import { OperationsPlugin } from "@ctrd/core/operations";
import type { Registration } from "@ctrd/core/plugin";
import { optional, SkipPlugin } from "@ctrd/core/plugin";
import type { DaemonServer } from "@ctrd/core/services";
import { ServerPlugin } from "@ctrd/core/services";
import type { DebugConfig } from "./config.ts";
import { debugConfig } from "./config.ts";
import { debugServer } from "./server.ts";

const debug: Registration<DaemonServer, DebugConfig> = {
  type: ServerPlugin,
  id: "debug",
  requires: [optional(OperationsPlugin)],
  config: debugConfig,
  initFn(ic) {
    const { address, uid, gid } = ic.config;
    const path = address === "" ? join(dirname(ic.state), "debug.sock") : address.replace(/^unix:\/\//, "");
    if (!path.startsWith("/")) {
      // Whoever reads the memory of the daemon has its secrets: a port would give them to all users of the machine.
      throw new SkipPlugin(`the debug address "${address}" is no path`, "name a socket: /run/ctrd/debug.sock");
    }
    const operations = ic.getAll(OperationsPlugin);
    ic.meta.exports.set("address", path);
    return debugServer(
      { path, uid, gid },
      { operations: () => operations.flatMap((each) => each.list()), plugins: () => ic.plugins() },
      ic.log,
    );
  },
};
export default debug;
