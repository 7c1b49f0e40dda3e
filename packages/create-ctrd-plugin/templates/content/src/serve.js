#!/usr/bin/env node
/**
 * The content store as a process of its own, for ctrd and for containerd alike:
 *
 * ```toml
 * [proxy_plugins.__id__]
 *   type = "content"
 *   address = "/run/__id__.sock"
 * ```
 */
import { once } from "node:events";
import { parseArgs } from "node:util";
import { serveContentStore } from "@ctrd/services";
import { openStore } from "./index.js";

const { values } = parseArgs({
  options: {
    root: { type: "string", default: "/var/lib/__id__" },
    socket: { type: "string", default: "/run/__id__.sock" },
  },
});
const store = await openStore(values.root);
const server = await serveContentStore(values.socket, store);
process.stdout.write(`__id__ serves ${values.socket}\n`);
await Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);
await server.stop();
