/**
 * The program that sets up the network of a container, and takes it down: a hook of its runtime, which gives it the state
 * of the container, and what the logging program runs when the container's process has ended.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { messageOf } from "@ctrd/core/errors";
import { CommandFailure } from "./failure.ts";
import { hookErrorPrefix } from "./network/hook-error.ts";
import { setUp, takeDown } from "./network/set-up.ts";

async function run(what: string | undefined, directory: string): Promise<void> {
  if (what === "up") {
    const { pid } = JSON.parse(readFileSync(0, "utf8")) as { pid: number };
    await setUp(directory, pid);
  } else {
    await takeDown(directory, what === "ended" ? "ended" : "removed");
  }
}

const [, , what, directory = ""] = process.argv;
try {
  await run(what, directory);
} catch (error) {
  const remedy = error instanceof CommandFailure && error.remedy !== undefined ? ` (${error.remedy})` : "";
  process.stderr.write(`${hookErrorPrefix}${messageOf(error)}${remedy}\n`);
  // A runtime does not delete a container whose last hook fails. Who removes the container tries again, and is told.
  if (what === "up") process.exitCode = 1;
}
