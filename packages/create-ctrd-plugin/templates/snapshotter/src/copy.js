import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { canceled, deadlineExceeded, kindOf, resourceExhausted, unknownError } from "@ctrd/core/errors";

/**
 * Copies the contents of a directory, and its own attributes: modes, owners, times, extended attributes, hard links,
 * devices and holes. When it rejects, nothing is written to `target` any more.
 *
 * @param {string} source
 * @param {string} target an empty directory
 * @param {AbortSignal} signal
 */
export async function copyDirectory(source, target, signal) {
  signal.throwIfAborted();
  const child = spawn("cp", ["--archive", "--reflink=auto", "--", `${source}/.`, target], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const stop = () => child.kill("SIGKILL");
  signal.addEventListener("abort", stop, { once: true });
  try {
    const [[code], errors] = await Promise.all([once(child, "close"), text(child.stderr)]);
    if (code === 0) return;
    if (signal.aborted) {
      const isLate = kindOf(signal.reason) === "deadline-exceeded";
      throw (isLate ? deadlineExceeded : canceled)(`copy ${source}`, { cause: signal.reason });
    }
    const what = `copy ${source} to ${target}: ${errors.trim()}`;
    // cp says what happened only in words.
    throw errors.includes("No space left") ? resourceExhausted(what) : unknownError(what);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
