/**
 * `ctrd debug`: what the daemon's debug socket gives.
 *
 * @module
 */
import { once } from "node:events";
import { open } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { request } from "node:http";
import { pipeline } from "node:stream/promises";
import { errnoOf, messageOf } from "@ctrd/core/errors";
import { CommandFailure } from "../failure.ts";
import type { Session } from "../session.ts";

/** Flags of `ctrd debug profile`, `heap` and `dump`. */
export interface DebugFileFlags {
  output?: string;
  seconds?: number;
}

/** Flags of `ctrd debug stacks`. */
export interface StacksFlags {
  seconds?: number;
  json?: boolean;
}

const defaultProfileSeconds = 10;

/** Takes a profile, a heap snapshot or a dump into a file, `-` being standard output. */
export async function debugToFile(
  session: Session,
  what: "profile" | "heap" | "dump",
  flags: DebugFileFlags,
): Promise<void> {
  const extension = { profile: "cpuprofile", heap: "heapsnapshot", dump: "json" }[what];
  const stamp = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, "");
  const file = flags.output ?? `ctrd-${stamp}.${extension}`;
  const seconds = flags.seconds ?? defaultProfileSeconds;
  const response = await ask(session, what === "profile" ? `/debug/profile?seconds=${seconds}` : `/debug/${what}`);
  if (file === "-") {
    await pipeline(response, process.stdout, { end: false });
    return;
  }
  const handle = await openNew(file);
  await pipeline(response, handle.createWriteStream());
  const viewer = what === "dump" ? "" : `; look at it in the developer tools of Chrome (${viewers[what]})`;
  process.stderr.write(`${file}${viewer}\n`);
}

const viewers = { profile: "Performance, Load profile", heap: "Memory, Load profile" };

/** A heap snapshot holds the daemon's secrets: only the user gets at the file, and none is written over. */
async function openNew(file: string): ReturnType<typeof open> {
  try {
    return await open(file, "wx", 0o600);
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
    throw new CommandFailure(`${file} is there already`, { remedy: "name another file: --output FILE", cause: error });
  }
}

interface Stacks {
  readonly pid: number;
  readonly seconds: number;
  readonly eventLoop: { readonly utilization: number; readonly maxDelayMs: number };
  readonly stacks: readonly { readonly share: number; readonly frames: readonly string[] }[];
  readonly threads: readonly {
    readonly id: number;
    readonly name: string;
    readonly state: string;
    readonly busy: number;
  }[];
  readonly operations: readonly {
    readonly name: string;
    readonly ageMs: number;
    readonly stages: { name: string }[];
  }[];
  readonly resources: Readonly<Record<string, number>>;
}

/** Prints what the daemon is doing. */
export async function debugStacks(session: Session, { seconds = 1, json = false }: StacksFlags): Promise<void> {
  const response = await ask(session, `/debug/stacks?seconds=${seconds}`);
  const text = Buffer.concat((await response.toArray()) as Buffer[]).toString();
  process.stdout.write(json ? `${text}\n` : `${plainStacks(JSON.parse(text) as Stacks)}\n`);
}

function plainStacks({ pid, seconds, eventLoop, stacks, threads, operations, resources }: Stacks): string {
  const percent = (share: number): string => `${(share * 100).toFixed(1)}%`.padStart(6);
  const { utilization, maxDelayMs } = eventLoop;
  return [
    `process ${pid}, watched for ${seconds.toFixed(1)} s`,
    `event loop: ${percent(utilization).trim()} busy, at most ${maxDelayMs.toFixed(0)} ms late`,
    "",
    `operations: ${operations.length}`,
    ...operations.map(
      ({ name, ageMs, stages }) => `  ${name}, ${ageMs} ms${stages.map((stage) => ` → ${stage.name}`).join("")}`,
    ),
    "",
    "threads:",
    ...threads.map(({ id, name, state, busy }) => `  ${percent(busy)} ${state} ${id} ${name}`),
    "",
    "waits for:",
    ...Object.entries(resources).map(([type, count]) => `  ${String(count).padStart(4)} ${type}`),
    "",
    "stacks of the event loop:",
    ...stacks.flatMap(({ share, frames }) => [
      `  ${percent(share)} ${frames[0] ?? ""}`,
      ...frames.slice(1).map((frame) => `           ${frame}`),
    ]),
  ].join("\n");
}

async function ask(session: Session, path: string): Promise<IncomingMessage> {
  const socketPath = await debugSocket(session);
  const sent = request({ socketPath, path, signal: session.signal });
  sent.end();
  const [response] = (await once(sent, "response").catch((error: unknown) => {
    const isDenied = ["EACCES", "EPERM"].includes(errnoOf(error) ?? "");
    const remedy = isDenied
      ? "run this as the user of the daemon, which is root"
      : "check that the daemon runs on this machine";
    throw new CommandFailure(`cannot ask the debug socket ${socketPath}: ${messageOf(error)}`, {
      remedy,
      cause: error,
    });
  })) as [IncomingMessage];
  if (response.statusCode === 200) return response;
  const text = Buffer.concat((await response.toArray()) as Buffer[])
    .toString()
    .trim();
  throw new CommandFailure(`the daemon refuses: ${text}`);
}

async function debugSocket(session: Session): Promise<string> {
  const plugins = await session.introspection.plugins(session.ctx, []);
  const found = plugins.find(({ type, id }) => type === "io.containerd.server.v1" && id === "debug");
  const address = found?.state === "ok" ? found.meta.exports.get("address") : undefined;
  if (address !== undefined) return address;
  throw new CommandFailure("the daemon has no debug socket", {
    remedy: found?.error ?? "containerd has pprof at its [debug] address; in ctrd it is the package @ctrd/debug",
  });
}
