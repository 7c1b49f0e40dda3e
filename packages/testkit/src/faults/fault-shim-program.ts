/**
 * The program of `makeFaultShim`: `FAULTS SHIM ARGUMENTS…` runs the real shim. When it has started one, a process of its
 * own takes the daemon's connections in the shim's place (`FAULTS SHIM --between REAL OWN NAMESPACE ID`).
 *
 * @module
 */
import { spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Request, Response } from "@ctrd/api/ttrpc/request";
import { encodeFrame, FrameDecoder, FrameType } from "@ctrd/ttrpc";
import { connects } from "../fixtures/daemon.ts";
import type { ShimFault, ShimFaults } from "./fault-shim.ts";

const [faultsFile = "", shim = "", ...args] = process.argv.slice(2);
const scheme = "unix://";
const lookMs = 500;

if (args[0] === "--between") await serveBetween(args.slice(1));
else if (args.at(-1) === "start") await start();
else process.exitCode = spawnSync(shim, args, { stdio: "inherit" }).status ?? 1;

/** Starts the real shim, and answers with an address of our own. */
async function start(): Promise<void> {
  const { status, stdout } = spawnSync(shim, args, { stdio: ["inherit", "pipe", "inherit"] });
  const answer = stdout.toString();
  const real = /unix:\/\/([^"\s]+)/.exec(answer)?.[1];
  if (status !== 0 || real === undefined) {
    process.stdout.write(answer);
    process.exitCode = status ?? 1;
    return;
  }
  const own = `${real}.f`;
  const valueOf = (flag: string): string => args[args.indexOf(flag) + 1] ?? "";
  const between = ["--between", real, own, valueOf("-namespace"), valueOf("-id")];
  const program = [...process.execArgv, process.argv[1] ?? "", faultsFile, shim, ...between];
  spawn(process.execPath, program, { detached: true, stdio: "ignore" }).unref();
  while (!(await connects(own))) await sleep(5);
  process.stdout.write(answer.replace(scheme + real, scheme + own));
}

/** Passes calls on to the shim until it is gone. */
async function serveBetween([real = "", own = "", namespace = "", id = ""]: readonly string[]): Promise<void> {
  const killShim = (): void => {
    for (const pid of shimProcesses(namespace, id)) process.kill(pid, "SIGKILL");
  };
  const server = createServer((client) => passCalls(client, connect(real), killShim));
  server.listen(own);
  while (await connects(real)) await sleep(lookMs);
  server.close();
  // A shim that was killed leaves its socket.
  rmSync(real, { force: true });
  process.exit(0);
}

function passCalls(client: Socket, upstream: Socket, killShim: () => void): void {
  const calls = new FrameDecoder({
    frame({ streamId, type, flags, data }) {
      const pass = (): void => {
        for (const part of encodeFrame(streamId, type, flags, data, 0, new Uint8Array(0))) upstream.write(part);
      };
      // The data may be overwritten once this returns.
      const fault = type === FrameType.request ? faultOf(Request.decode(data).method) : undefined;
      if (fault === undefined) pass();
      else if ("code" in fault) client.write(encodeError(streamId, fault));
      else if ("kill" in fault) killShim();
      else if ("delayMs" in fault) {
        const kept = encodeFrame(streamId, type, flags, Buffer.from(data), 0, new Uint8Array(0));
        setTimeout(() => kept.forEach((part) => upstream.write(part)), fault.delayMs);
      }
    },
    oversize: () => client.destroy(),
  });
  client.on("data", (chunk: Buffer) => calls.push(chunk));
  upstream.pipe(client);
  for (const [socket, other] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    socket.on("error", () => other.destroy());
    socket.on("close", () => other.destroy());
  }
}

function encodeError(streamId: number, { code, message }: { code: number; message: string }): Buffer {
  const response = Response.encode(Response.create({ status: { code, message } })).finish();
  return Buffer.concat(encodeFrame(streamId, FrameType.response, 0, response, 0, new Uint8Array(0)));
}

function faultOf(method: string): ShimFault | undefined {
  return (JSON.parse(readFileSync(faultsFile, "utf8")) as ShimFaults)[method];
}

/** The real shim has its namespace and id in its command line, and ours in front of nothing. */
function shimProcesses(namespace: string, id: string): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid !== process.pid)
    .filter((pid) => {
      const words = commandOf(pid);
      const valueOf = (flag: string): string | undefined => words[words.indexOf(flag) + 1];
      return words[0] === shim && valueOf("-namespace") === namespace && valueOf("-id") === id;
    });
}

function commandOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // it has ended meanwhile
  }
}
