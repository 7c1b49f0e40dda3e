import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const pollMs = 25;
/** A daemon that serves no such socket starts all the same. */
const patienceMs = 10_000;

/** Resolves when a unix socket is listened on, or after ten seconds; throws when `signal` aborts. */
export async function socketListens(path: string, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (performance.now() < deadline) {
    await sleep(pollMs, undefined, { signal });
    if (await listens(path)) return;
  }
}

async function listens(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    // Not there yet, or left by a daemon that was killed.
    return false;
  } finally {
    socket.destroy();
  }
}
