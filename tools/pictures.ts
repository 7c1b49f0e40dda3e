/**
 * `npm run pictures`: the pictures of the README, from real runs. Starts a registry and a daemon on temporary
 * directories, runs the command line in tmux, and writes docs/pictures/*.svg.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  buildImage,
  busyboxEntries,
  mustRun,
  nodeBinary,
  pushImage,
  startCtrd,
  startRegistry,
  tempDir,
  workspaceRoot,
} from "@ctrd/testkit/fixtures";
import { screenPicture } from "./screen-picture.ts";

const columns = 126;
const program = join(workspaceRoot, "packages/cli/dist/main.js");

/** A shell in tmux that knows `ctrd`. */
class Screen implements AsyncDisposable {
  readonly #socket: string;

  private constructor(socket: string) {
    this.#socket = socket;
  }

  static async open(directory: string, environment: Record<string, string>): Promise<Screen> {
    const screen = new Screen(join(directory, "tmux"));
    const settings = Object.entries({ ...environment, PS1: "$ " }).map(([name, value]) => `${name}=${value}`);
    await screen.#tmux("new-session", "-d", "-x", String(columns), "-y", "24", "env", ...settings, "sh");
    await screen.#tmux("set-option", "-g", "status", "off");
    await screen.run(`ctrd() { ${nodeBinary()} ${program} "$@"; }; clear`, /\$$/);
    return screen;
  }

  /** Types a line and waits until the screen matches; returns the screen with its colours. */
  async run(line: string, pattern: RegExp): Promise<string> {
    await this.#tmux("send-keys", "-l", line);
    await this.#tmux("send-keys", "Enter");
    return this.see(pattern);
  }

  /** Waits until the screen matches; returns it with its colours. */
  async see(pattern: RegExp): Promise<string> {
    for (let tries = 0; tries < 1200; tries++) {
      const coloured = await this.#tmux("capture-pane", "-p", "-e");
      if (pattern.test((await this.#tmux("capture-pane", "-p")).trimEnd())) return coloured;
      await sleep(50);
    }
    throw new Error(`the terminal never showed ${pattern}:\n${await this.#tmux("capture-pane", "-p")}`);
  }

  async #tmux(...args: string[]): Promise<string> {
    return (await mustRun("tmux", ["-S", this.#socket, "-f", "/dev/null", ...args])).stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tmux("kill-server");
  }
}

async function main(): Promise<void> {
  await using directory = await tempDir("pictures-");
  await using registry = await startRegistry();
  const files = [1, 2, 3, 4].map((seed) => ({
    manyFiles: { count: 100 * seed, totalBytes: 150_000_000 * seed, seed, prefix: `data/${seed}` },
  }));
  const layers = [{ entries: await busyboxEntries("symlink") }, ...files];
  const app = await pushImage(
    registry,
    "team/app",
    "1.4",
    await buildImage({ layers, dir: directory.path, compression: "none" }),
  );
  await using daemon = await startCtrd({ from: "dist" });
  await using screen = await Screen.open(directory.path, {
    CTRD_ADDRESS: daemon.address,
    CTRD_CLI_ROOT: join(directory.path, "cli"),
    DOCKER_CONFIG: directory.path,
  });
  const pictures = join(workspaceRoot, "docs/pictures");
  await mkdir(pictures, { recursive: true });

  const half = /\[={3,17}> .*\/s/;
  await writeFile(join(pictures, "pull.svg"), screenPicture(await screen.run(`ctrd pull --plain-http ${app}`, half)));
  await screen.see(/sha256:[0-9a-f]{64}\n\$$/);

  const run = `ctrd run -d --net none ${app} sleep 1000`;
  try {
    await screen.run(`clear; ${run.replace("-d", "-d --name web --memory 64m")}`, /[0-9a-f]{12}\n*\$$/);
    await screen.run(`clear; ${run.replace("-d", "-d --name worker")}`, /[0-9a-f]{12}\n*\$$/);
    await screen.run("clear; ctrd pause worker", /worker\n*\$$/);
    await writeFile(join(pictures, "ps.svg"), screenPicture(await screen.run("clear; ctrd ps", /web\n+\$$/)));
  } finally {
    await screen.run("clear; ctrd rm -f web worker; echo removed", /removed\n+\$$/);
  }
}

await main();
