#!/usr/bin/env node
/**
 * The snapshotter as a process of its own, for ctrd and for containerd alike:
 *
 * ```toml
 * [proxy_plugins.__id__]
 *   type = "snapshot"
 *   address = "/run/__id__.sock"
 * ```
 */
import { once } from "node:events";
import { parseArgs } from "node:util";
import { serveSnapshotter } from "@ctrd/services";
import { openSnapshotter } from "./index.js";

const { values } = parseArgs({
  options: {
    root: { type: "string", default: "/var/lib/__id__" },
    socket: { type: "string", default: "/run/__id__.sock" },
  },
});
const snapshotter = openSnapshotter(values.root);
const server = await serveSnapshotter(values.socket, snapshotter);
process.stdout.write(`__id__ serves ${values.socket}\n`);
await Promise.race([once(process, "SIGTERM"), once(process, "SIGINT")]);
await server.stop();
await snapshotter.close();
