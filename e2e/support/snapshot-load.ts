/** Many clients at once that prepare and remove snapshots, and what became of each of their calls. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { startBackground, type BackgroundProcess } from "@ctrd/testkit/fixtures";
import { daemonCommand, type Daemon } from "./daemon.ts";

/** One call of a client. */
export interface LoadCall {
  readonly key: string;
  /** When it began and how long it took, in milliseconds. */
  readonly at: number;
  readonly ms: number;
  /** Why it failed; absent when it did not. */
  readonly kind?: string;
  readonly message?: string;
}

/** Each worker goes on after a failure; a snapshot that may be there is removed before its key is used again. */
const program = `\
import { createContext } from "@ctrd/core/context";
import { openChannel, proxySnapshotter } from "@ctrd/services";

const [address, namespace, name, workers] = process.argv.slice(2);
const snapshotter = proxySnapshotter(openChannel(address), name);
const ctx = createContext({ namespace });
const calls = [];
let stopping = false;

async function timed(key, call) {
  const at = Date.now();
  const error = await call().then(() => undefined, (reason) => reason);
  calls.push({ key, at, ms: Date.now() - at, kind: error?.kind, message: error?.message });
  return error === undefined || error.kind === "not-found";
}

async function work(worker) {
  for (let turn = 0; !stopping; turn++) {
    const key = worker + "-" + turn;
    await timed(key, () => snapshotter.prepare(ctx, key, ""));
    while (!(await timed(key, () => snapshotter.remove(ctx, key)))) await new Promise((wake) => setTimeout(wake, 20));
  }
}

setInterval(() => process.stdout.write(calls.splice(0).map((call) => JSON.stringify(call) + "\\n").join("")), 50);
process.once("SIGTERM", () => (stopping = true));
await Promise.all(Array.from({ length: Number(workers) }, (_, worker) => work(worker)));
process.stdout.write(calls.map((call) => JSON.stringify(call) + "\\n").join(""));
process.exit(0);
`;

export class SnapshotLoad {
  readonly #running: BackgroundProcess;

  private constructor(running: BackgroundProcess) {
    this.#running = running;
  }

  /** @param app an app folder with the libraries that the program needs */
  static async start(app: string, daemon: Daemon, snapshotter: string, workers: number): Promise<SnapshotLoad> {
    const path = join(app, "load.js");
    writeFileSync(path, program);
    const [node, flags] = daemonCommand("ctrd", "");
    const options = flags.filter((flag) => flag.startsWith("--") && flag !== "--config");
    const args = [...options, path, daemon.address, daemon.namespace, snapshotter, String(workers)];
    return new SnapshotLoad(await startBackground(node, args, join(daemon.dir, "load.log")));
  }

  /** The calls that have ended. */
  calls(): LoadCall[] {
    const text = this.#running.output();
    const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n");
    return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as LoadCall);
  }

  /** Lets every worker finish its turn. */
  stop(): Promise<void> {
    return this.#running.stop("SIGTERM");
  }
}
