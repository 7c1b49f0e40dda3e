/** A plugin on NRI's own library: packages/nri/test/plugin/main.go, built by tools/setup-host.sh. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { until } from "./command.ts";
import { nriPlugin } from "./peers.ts";

/** A call that it got. */
export interface NriCall {
  readonly call: string;
  readonly [field: string]: unknown;
}

export interface NriPlugin {
  calls(): NriCall[];
  /** Resolves once it got a call. */
  until(call: string): Promise<NriCall>;
  stop(): Promise<void>;
}

/** Starts the plugin; it connects to the socket as soon as that is there. */
export function startNriPlugin(socket: string, index: string, name: string): NriPlugin {
  const command = `until [ -S ${socket} ]; do sleep 0.05; done; exec ${nriPlugin} -name ${name} -idx ${index} -socket ${socket}`;
  const child = spawn("sh", ["-c", command], { stdio: ["ignore", "pipe", "ignore"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const exited = once(child, "exit");
  const calls = (): NriCall[] =>
    output
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as NriCall);
  return {
    calls,
    until: (call) => until(`NRI plugin gets ${call}`, async () => calls().find((seen) => seen.call === call)),
    async stop() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}
