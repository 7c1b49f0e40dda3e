/**
 * `npm start`: the main job once, with real peers. Starts a registry and a daemon on temporary directories, pulls a
 * small image through the daemon with the real `ctr`, runs a container under the real shim and runc, and cleans up.
 */
import type { TestDaemon } from "@ctrd/testkit/fixtures";
import { busyboxImage, pushImage, startCtrd, startRegistry } from "@ctrd/testkit/fixtures";

let last = performance.now();
/** Prints one finished step and how long it took. */
function step(text: string): void {
  const now = performance.now();
  console.log(`${`${(now - last).toFixed(0)} ms`.padStart(9)}  ${text}`);
  last = now;
}

/** Runs `ctr` against the daemon and returns what it printed. */
async function ctr(daemon: TestDaemon, ...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await daemon.ctr(args);
  if (exitCode !== 0)
    throw new Error(`ctr ${args.join(" ")}: exit code ${exitCode}: ${stderr.trim()}\n${daemon.logs()}`);
  return stdout.trim();
}

async function main(): Promise<void> {
  await using registry = await startRegistry();
  step(`a registry listens on ${registry.host}`);
  const reference = await pushImage(registry, "demo/busybox", "1", await busyboxImage());
  step(`it holds the image ${reference}`);
  await using daemon = await startCtrd({ from: "dist" });
  step(`ctrd (pid ${daemon.pid}) listens on ${daemon.address}, root ${daemon.root}`);
  const plugins = (await ctr(daemon, "plugins", "ls", "-q")).split("\n").length;
  step(`ctr plugins ls: ${plugins} plugins`);
  await ctr(daemon, "images", "pull", "--plain-http", reference);
  step(`ctr images pull ${reference}`);
  const container = `demo-${process.pid}`;
  const command = ["echo", "hello from a container that ctrd runs"];
  const printed = await ctr(daemon, "run", "--rm", reference, container, ...command);
  step(`ctr run --rm ${reference} ${container} ${command.join(" ")}`);
  console.log(`           > ${printed}`);
  if (printed !== command.slice(1).join(" ")) throw new Error(`the container printed ${JSON.stringify(printed)}`);
  await ctr(daemon, "images", "rm", "--sync", reference);
  step("ctr images rm --sync: the image and all of its blobs are gone");
  await daemon.stop();
  step("ctrd has stopped");
}

await main();
step("cleaned up");
