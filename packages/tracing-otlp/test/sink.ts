/** The collector that tools/setup-host.sh builds of ./sink. */
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { it, vi } from "vitest";

const program = fileURLToPath(new URL("../../../.host/bin/otlp-sink", import.meta.url));

/** A message that it got. */
export interface SinkLine {
  readonly protocol: string;
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly message: unknown;
}

export interface Sink extends AsyncDisposable {
  readonly http: string;
  readonly grpc: string;
  lines(): SinkLine[];
}

/** Starts it on ports of its own. */
export async function startSink(...args: string[]): Promise<Sink> {
  const child: ChildProcess = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const lines = (): string[] => output.split("\n").slice(0, -1);
  await vi.waitUntil(() => lines().length > 0, { timeout: 10_000 });
  return {
    ...(JSON.parse(lines()[0] ?? "") as { http: string; grpc: string }),
    lines: () =>
      lines()
        .slice(1)
        .map((line) => JSON.parse(line) as SinkLine),
    async [Symbol.asyncDispose]() {
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** A test that needs it. Without it the test is skipped by name; in CI that is a failure. */
export function withSink(name: string, body: () => Promise<void>): void {
  if (existsSync(program)) it(name, body, 30_000);
  else if (process.env["CI"] === "true") it(name, () => Promise.reject(new Error(`${program} is missing`)));
  else it.skip(`${name} [skipped: ${program} is missing (tools/setup-host.sh)]`, body);
}
