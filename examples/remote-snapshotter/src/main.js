/** The snapshotter as a process: `npm start -- --layers DIR --root DIR --socket PATH`. */
import { once } from "node:events";
import { parseArgs } from "node:util";
import { serveSnapshotter } from "@ctrd/services";
import { openSharedLayersSnapshotter } from "./index.js";

const { values } = parseArgs({
  options: {
    layers: { type: "string", default: "/srv/layers" },
    root: { type: "string", default: "/var/lib/shared-layers" },
    socket: { type: "string", default: "/run/shared-layers.sock" },
  },
});
const snapshotter = openSharedLayersSnapshotter(values.root, values.layers);
const server = await serveSnapshotter(values.socket, snapshotter);
process.stdout.write(`shared-layers serves ${values.layers} on ${values.socket}\n`);
await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
await server.stop();
await snapshotter.close();
