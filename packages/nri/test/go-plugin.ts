/**
 * The plugin of `plugin/main.go`, on NRI's own library.
 *
 * @module
 */
import { workspaceRoot } from "@ctrd/testkit/fixtures";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "vitest";

/** What `tools/setup-host.sh` builds. */
export const pluginPath: string = join(workspaceRoot, ".host/bin/nri-plugin");

/** A test that needs the plugin; without it, skipped by name, in CI failed. */
export function pluginTest(name: string, body: () => Promise<void>): void {
  if (existsSync(pluginPath)) test(name, body);
  else if (process.env["CI"] === "true") test(name, () => Promise.reject(new Error(`${pluginPath} is missing`)));
  else test.skip(`${name} [skipped: ${pluginPath} is missing (tools/setup-host.sh)]`, body);
}

/** A call that the plugin got. */
export interface SeenCall {
  readonly call: string;
  readonly [field: string]: unknown;
}

/** Lines of the plugin's output. */
export function parseCalls(text: string): SeenCall[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as SeenCall);
}

/** A plugin that runs. */
export interface RunningPlugin extends AsyncDisposable {
  readonly calls: () => SeenCall[];
  /** Resolves once it got a call. */
  until(call: string): Promise<SeenCall>;
  kill(signal?: NodeJS.Signals): void;
}

/** Starts a plugin that connects to `socket`. */
export function startPlugin(socket: string, index: string, name: string): RunningPlugin {
  const child = spawn(pluginPath, ["-name", name, "-idx", index, "-socket", socket], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const exited = once(child, "exit");
  const calls = (): SeenCall[] => parseCalls(output.slice(0, output.lastIndexOf("\n") + 1));
  return {
    calls,
    async until(call) {
      const deadline = Date.now() + 20_000;
      for (;;) {
        const found = calls().find((seen) => seen.call === call);
        if (found !== undefined) return found;
        if (Date.now() > deadline) throw new Error(`${call} did not come; so far ${output}`);
        await sleep(10);
      }
    },
    kill: (signal = "SIGKILL") => void child.kill(signal),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
