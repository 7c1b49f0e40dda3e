/** Clients of exec and attach that come and go in every way, many times, and what a daemon has left of them. */
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { FrameType } from "../../packages/cri/src/streaming/spdy/frames.ts";
import { SpdyClient } from "../../packages/cri/test/spdy-client.ts";
import { start, until } from "./command.ts";
import type { CriHarness } from "./cri.ts";
import { list } from "./machine-state.ts";
import { crictl } from "./peers.ts";

const v4 = "v4.channel.k8s.io";
/** What programs are called that outlive their clients unless the daemon ends them. */
const lasting = "87654321";

/** Does one thing to a container that writes without an end and takes stdin. */
type Visit = (cri: CriHarness, containerId: string) => Promise<void>;

async function attachUrl({ runtime, ctx }: CriHarness, containerId: string): Promise<string> {
  return (await runtime.attach(ctx, { containerId, stdin: true, stdout: true, stderr: true, tty: false })).url;
}

async function execUrl({ runtime, ctx }: CriHarness, containerId: string, ...cmd: string[]): Promise<string> {
  return (await runtime.exec(ctx, { containerId, cmd, stdin: false, stdout: true, stderr: true, tty: false })).url;
}

async function openStreams(client: SpdyClient, names: readonly string[]): Promise<Map<string, number>> {
  const ids = new Map<string, number>();
  for (const streamtype of names) ids.set(streamtype, await client.open({ streamtype }));
  return ids;
}

/** A message has come on a channel. */
async function firstMessage(socket: WebSocket): Promise<void> {
  socket.binaryType = "arraybuffer";
  for (;;) {
    const [event] = (await once(socket, "message")) as [{ data: ArrayBuffer }];
    if (event.data.byteLength > 1) return;
  }
}

const visits: Record<string, Visit> = {
  async "attach by SPDY, gone in the middle of output"(cri, id) {
    const client = await SpdyClient.connect(await attachUrl(cri, id), v4);
    const ids = await openStreams(client, ["error", "stdin", "stdout", "stderr"]);
    await client.until("output", () => client.text(ids.get("stdout") ?? 0).length > 0);
    client.close();
  },
  async "attach by SPDY, reset"(cri, id) {
    const client = await SpdyClient.connect(await attachUrl(cri, id), v4);
    const ids = await openStreams(client, ["error", "stdin", "stdout", "stderr"]);
    client.send(ids.get("stdin") ?? 0, "said\n");
    client.socket.resetAndDestroy();
    client.close();
  },
  async "attach by SPDY, gone before its streams are there"(cri, id) {
    const client = await SpdyClient.connect(await attachUrl(cri, id), v4);
    await openStreams(client, ["error"]);
    client.close();
  },
  async "attach by WebSocket"(cri, id) {
    const socket = new WebSocket((await attachUrl(cri, id)).replace("http", "ws"), v4);
    await firstMessage(socket);
    socket.close();
    await once(socket, "close");
  },
  async "exec by SPDY to its end"(cri, id) {
    const client = await SpdyClient.connect(await execUrl(cri, id, "echo", "hello"), v4);
    const ids = await openStreams(client, ["error", "stdout", "stderr"]);
    await client.until("the end", () => client.ended.size === 3);
    if (client.text(ids.get("stdout") ?? 0) !== "hello\n") throw new Error("exec has not said hello");
    client.socket.end();
    await client.gone();
    client.close();
  },
  async "exec by SPDY that is left running"(cri, id) {
    const client = await SpdyClient.connect(await execUrl(cri, id, "sh", "-c", `echo on; sleep ${lasting}`), v4);
    const ids = await openStreams(client, ["error", "stdout", "stderr"]);
    await client.until("output", () => client.text(ids.get("stdout") ?? 0).length > 0);
    client.close();
  },
  async "exec by WebSocket that is left running"(cri, id) {
    const url = await execUrl(cri, id, "sh", "-c", `echo on; sleep ${lasting}`);
    const socket = new WebSocket(url.replace("http", "ws"), v4);
    await firstMessage(socket);
    socket.close();
    await once(socket, "close");
  },
  async "attach that is never used"(cri, id) {
    await attachUrl(cri, id);
    const client = await SpdyClient.connect(await attachUrl(cri, id), v4);
    // What no client should send.
    client.socket.write(Buffer.from([0x80, 0x03, 0, FrameType.synStream, 0, 0, 0, 2, 0, 0]));
    await client.gone();
    client.close();
  },
  async "crictl, killed"({ h }, id) {
    const child = start(crictl, ["-r", `unix://${h.daemon.address}`, "attach", "-i", id]);
    await once(child.stdout ?? child, "data");
    child.kill("SIGKILL");
    await once(child, "close");
  },
};

/** What a daemon holds. */
export interface Holdings {
  readonly handles: number;
  /** Memory of its own, in KiB. */
  readonly memory: number;
  /** Programs in containers that nobody waits for. */
  readonly programs: number;
  /** Directories with the FIFOs of a process. */
  readonly fifos: number;
  readonly shimHandles: number;
}

/** What the daemon holds now, and the shim of a pod. */
export function holdings({ h: { daemon } }: CriHarness, podId: string): Holdings {
  const handlesOf = (pid: number | string): number => list(`/proc/${pid}/fd`).length;
  const all = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const commands = all.map((pid): [string, string] => [pid, commandOf(pid)]);
  const [shim] =
    commands.find(([, line]) => line.includes(`-address\0${daemon.address}\0`) && line.includes(podId)) ?? [];
  const status = readFileSync(`/proc/${daemon.pid}/status`, "utf8");
  const containers = list(join(daemon.state, "io.containerd.grpc.v1.cri/containers"));
  return {
    handles: handlesOf(daemon.pid),
    memory: Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1]),
    programs: commands.filter(([, line]) => line.includes(lasting)).length,
    fifos: containers.reduce((sum, container) => sum + list(join(container, "io")).length, 0),
    shimHandles: shim === undefined ? 0 : handlesOf(shim),
  };
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    // It has ended.
    return "";
  }
}

/** Sends `count` clients, a few at a time, each way in turn. */
export async function visit(cri: CriHarness, containerId: string, count: number): Promise<void> {
  const ways = Object.entries(visits);
  let next = 0;
  const go = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) {
      const [name, way] = ways[index % ways.length] as [string, Visit];
      try {
        await way(cri, containerId);
      } catch (error) {
        throw new Error(`client ${index}, ${name}`, { cause: error });
      }
    }
  };
  await Promise.all([go(), go(), go(), go()]);
}

/** Waits until everything that clients had is gone. */
export async function settled(cri: CriHarness, podId: string, before: Holdings): Promise<Holdings> {
  return until("nothing is left of clients", () => {
    const now = holdings(cri, podId);
    const isLeft =
      now.handles > before.handles + 2 ||
      now.programs > 0 ||
      now.fifos > before.fifos ||
      now.shimHandles > before.shimHandles + 2;
    return isLeft ? undefined : now;
  });
}
