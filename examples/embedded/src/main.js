/** Runs one container in a daemon of its own: `npm start -- IMAGE COMMAND...`. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { promisify } from "node:util";
import { createContext } from "@ctrd/core/context";
import { MetadataPlugin } from "@ctrd/core/metadata";
import { builtins, startDaemon } from "@ctrd/server";

const [image, ...command] = process.argv.slice(2);
if (image === undefined) throw new Error("usage: npm start -- IMAGE COMMAND...");
const namespace = process.env["CONTAINERD_NAMESPACE"] ?? "embedded";
const directory = await mkdtemp("/tmp/embedded-");

// The daemon. It ends with this program, or before.
const daemon = await startDaemon({
  plugins: builtins,
  config: { root: `${directory}/root`, state: `${directory}/state` },
});

/** Any of containerd's clients can talk to it. @param {string[]} args */
async function ctr(...args) {
  const flags = ["--address", `${directory}/state/ctrd.sock`, "--namespace", namespace];
  return await promisify(execFile)("ctr", [...flags, ...args]);
}

try {
  const isLocal = /^(localhost|127\.)/.test(image);
  await ctr("images", "pull", ...(isLocal ? ["--plain-http"] : []), image);
  // What the daemon is made of is at hand without a socket.
  for (const store of daemon.getAll(MetadataPlugin)) {
    for (const { name, target } of await store.images.list(createContext({ namespace }), [])) {
      process.stdout.write(`pulled ${name} ${target?.digest}\n`);
    }
  }
  const { stdout } = await ctr("run", "--rm", image, `embedded-${process.pid}`, ...command);
  process.stdout.write(stdout);
  await ctr("images", "rm", "--sync", image);
} finally {
  await daemon.stop();
  await rm(directory, { recursive: true });
}
