/**
 * A service for tests, its server, and a peer that speaks raw frames.
 */
import { mkdtemp, rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Request, Response, StringList } from "@ctrd/api/ttrpc/request";
import type { KeyValue } from "@ctrd/api/ttrpc/request";
import { KeyValue as KeyValueCodec } from "@ctrd/api/ttrpc/request";
import { ContainerdError, notFound } from "@ctrd/core/errors";
import { afterEach, beforeEach, expect } from "vitest";
import type { TtrpcCall } from "../src/call-context.ts";
import { TtrpcClient } from "../src/client.ts";
import type { Frame } from "../src/frame.ts";
import { encodeFrame, FrameDecoder, FrameType } from "../src/frame.ts";
import type { Handlers } from "../src/handlers.ts";
import { TtrpcServer } from "../src/server.ts";

const method = <Q extends boolean, S extends boolean>(name: string, requestStream: Q, responseStream: S) =>
  ({ name, requestType: KeyValueCodec, requestStream, responseType: KeyValueCodec, responseStream }) as const;

export const Demo = {
  fullName: "ctrd.test.Demo",
  methods: {
    echo: method("Echo", false, false),
    fail: method("Fail", false, false),
    hang: method("Hang", false, false),
    meta: { ...method("Meta", false, false), responseType: StringList },
    count: method("Count", false, true),
    sum: method("Sum", true, false),
    chat: method("Chat", true, true),
    absent: method("Absent", false, false),
  },
} as const;

export const kv = (key: string, value = ""): KeyValue => ({ key, value });
export const nothing = new Uint8Array(0);

/** The server of the running test, and what its handlers saw. */
export const demo = {} as {
  dir: string;
  path: string;
  server: TtrpcServer;
  lastCall: TtrpcCall | undefined;
  /** Holds the Sum handler back. */
  sumGate: Promise<void> | undefined;
  chatEnded: string | undefined;
};

export const handlers: Handlers<typeof Demo> = {
  async echo(call, request) {
    demo.lastCall = call;
    return request;
  },
  async fail(_call, { key }) {
    if (key === "kind") throw notFound(`thing "x"`);
    if (key === "errno") throw Object.assign(new Error("no such file"), { code: "ENOENT" });
    throw new Error("plain");
  },
  hang: (call) =>
    new Promise((_, reject) => {
      demo.lastCall = call;
      call.signal.addEventListener("abort", () => reject(call.signal.reason as Error));
    }),
  async meta(call) {
    return { list: [...call.metadata].map(([k, v]) => `${k}=${v.join("|")}`).concat(`timeout=${call.timeout}`) };
  },
  async *count(_call, { key, value }) {
    for (let i = 0; i < Number(key); i++) yield kv(String(i), value);
    if (value === "then fail") throw notFound("the rest");
  },
  async sum(_call, requests) {
    await demo.sumGate;
    let total = 0;
    for await (const { key } of requests) total += Number(key);
    return kv(String(total));
  },
  async *chat(_call, requests) {
    try {
      for await (const { key } of requests) yield kv(key.toUpperCase());
      demo.chatEnded = "end";
    } catch (error) {
      demo.chatEnded = (error as Error).message;
      throw error;
    }
  },
};

/** Starts the server before each test of the calling file, and closes it after. */
export function useDemoServer(): void {
  beforeEach(async () => {
    demo.dir = await mkdtemp(join(tmpdir(), "ctrd-ttrpc-"));
    demo.path = join(demo.dir, "s");
    demo.server = new TtrpcServer();
    demo.server.register(Demo, handlers);
    await demo.server.listen(demo.path);
    demo.lastCall = demo.sumGate = demo.chatEnded = undefined;
  });
  afterEach(async () => {
    demo.server.close();
    await rm(demo.dir, { recursive: true });
  });
}

export async function withClient<T>(run: (client: TtrpcClient) => Promise<T>): Promise<T> {
  const client = await TtrpcClient.connect(demo.path);
  try {
    return await run(client);
  } finally {
    client.close();
  }
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

export const kindOfRejection = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "resolved",
    (error: unknown) => (error instanceof ContainerdError ? `${error.kind}: ${error.message}` : String(error)),
  );

/** A peer that speaks raw frames. */
export class RawPeer {
  readonly socket: Socket;
  readonly frames: Frame[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    const decoder = new FrameDecoder({ frame: (frame) => this.frames.push(frame), oversize: () => {} });
    socket.on("data", (chunk: Buffer) => decoder.push(chunk));
    socket.on("error", () => {});
  }

  send(streamId: number, type: number, flags: number, data: Uint8Array): void {
    for (const buffer of encodeFrame(streamId, type, flags, nothing, 0, data)) this.socket.write(buffer);
  }

  request(streamId: number, name: string, payload: Uint8Array, flags = 0): void {
    const request = Request.create({ service: Demo.fullName, method: name, payload });
    this.send(streamId, FrameType.request, flags, Request.encode(request).finish());
  }

  async next(): Promise<{ id: number; type: number; flags: number; code: number; message: string }> {
    await expect.poll(() => this.frames.length, { interval: 2 }).toBeGreaterThan(0);
    const frame = this.frames.shift() as Frame;
    const status = frame.type === FrameType.response ? Response.decode(frame.data).status : undefined;
    return {
      id: frame.streamId,
      type: frame.type,
      flags: frame.flags,
      code: status?.code ?? 0,
      message: status?.message ?? "",
    };
  }
}
