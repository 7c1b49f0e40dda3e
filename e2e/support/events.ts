/** A running `ctr events` and what it has shown so far. */
import { exited, until } from "./command.ts";
import type { Daemon } from "./daemon.ts";
import { parseEvent, type SeenEvent } from "./table.ts";

export interface EventWatch {
  /** The events so far, in order. */
  seen(): SeenEvent[];
  /** Waits for an event. */
  next(what: string, match: (event: SeenEvent) => boolean): Promise<SeenEvent>;
  /** Stops it from reading, say. */
  signal(signal: NodeJS.Signals): void;
  stop(): Promise<void>;
}

/** Starts `ctr events` and returns once the daemon delivers to it. */
export async function watchEvents(daemon: Daemon): Promise<EventWatch> {
  const child = daemon.spawnCtr(["events"]);
  let text = "";
  child.stdout?.on("data", (chunk) => (text += String(chunk)));
  const seen = (): SeenEvent[] =>
    text
      .slice(0, text.lastIndexOf("\n") + 1)
      .split("\n")
      .map(parseEvent)
      .filter((event) => event !== undefined);
  const next: EventWatch["next"] = (what, match) =>
    until(`ctr events shows ${what}; it showed ${JSON.stringify(seen()).slice(-2000)}`, () => seen().find(match));
  // Subscriptions have no replay: probe until one is seen.
  const probe = `${daemon.namespace}-probe`;
  await until("ctr events is subscribed", async () => {
    await daemon.ctr(["namespaces", "create", probe]);
    await daemon.ctr(["namespaces", "rm", probe]);
    return seen().some((event) => event.topic === "/namespaces/create");
  });
  return {
    seen,
    next,
    signal: (signal) => void child.kill(signal),
    async stop() {
      child.kill("SIGKILL");
      await exited(child);
    },
  };
}
