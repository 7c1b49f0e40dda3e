#!/usr/bin/env node
/**
 * The differ as a process of its own, for ctrd and for containerd alike. It reads and writes layers through the
 * daemon's own content store:
 *
 * ```toml
 * [proxy_plugins.__id__]
 *   type = "diff"
 *   address = "/run/__id__.sock"
 * ```
 */
import { once } from "node:events";
import { parseArgs } from "node:util";
import { openChannel, proxyContentStore, serveDiffer } from "@ctrd/services";
import { openDiffer } from "./index.js";

const { values } = parseArgs({
  options: {
    daemon: { type: "string", default: "/run/ctrd/ctrd.sock" },
    temporary: { type: "string", default: "/run/__id__" },
    socket: { type: "string", default: "/run/__id__.sock" },
  },
});
using channel = openChannel(values.daemon);
const differ = await openDiffer({ content: proxyContentStore(channel), temporary: values.temporary });
const server = await serveDiffer(values.socket, differ);
process.stdout.write(`__id__ serves ${values.socket}\n`);
await Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);
await server.stop();
