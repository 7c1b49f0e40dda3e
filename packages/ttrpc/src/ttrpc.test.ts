import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Request, Response, StringList } from "@ctrd/api/ttrpc/request";
import type { KeyValue } from "@ctrd/api/ttrpc/request";
import { KeyValue as KeyValueCodec } from "@ctrd/api/ttrpc/request";
import { ContainerdError, notFound } from "@ctrd/core/errors";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TtrpcCall } from "./call-context.ts";
import { TtrpcClient } from "./client.ts";
import type { Frame } from "./frame.ts";
import { encodeFrame, FrameDecoder, FrameFlag, FrameType, maxFrameLength, writeFrameHeader } from "./frame.ts";
import type { Handlers } from "./handlers.ts";
import { TtrpcServer } from "./server.ts";

const method = <Q extends boolean, S extends boolean>(name: string, requestStream: Q, responseStream: S) =>
  ({ name, requestType: KeyValueCodec, requestStream, responseType: KeyValueCodec, responseStream }) as const;

const Demo = {
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

const kv = (key: string, value = ""): KeyValue => ({ key, value });
const nothing = new Uint8Array(0);

let dir: string;
let path: string;
let server: TtrpcServer;
let lastCall: TtrpcCall | undefined;
let sumGate: Promise<void> | undefined;
let chatEnded: string | undefined;

const handlers: Handlers<typeof Demo> = {
  async echo(call, request) {
    lastCall = call;
    return request;
  },
  async fail(_call, { key }) {
    if (key === "kind") throw notFound(`thing "x"`);
    if (key === "errno") throw Object.assign(new Error("no such file"), { code: "ENOENT" });
    throw new Error("plain");
  },
  hang: (call) =>
    new Promise((_, reject) => {
      lastCall = call;
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
    await sumGate;
    let total = 0;
    for await (const { key } of requests) total += Number(key);
    return kv(String(total));
  },
  async *chat(_call, requests) {
    try {
      for await (const { key } of requests) yield kv(key.toUpperCase());
      chatEnded = "end";
    } catch (error) {
      chatEnded = (error as Error).message;
      throw error;
    }
  },
};

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "ctrd-ttrpc-"));
  path = join(dir, "s");
  server = new TtrpcServer();
  server.register(Demo, handlers);
  await server.listen(path);
  lastCall = sumGate = chatEnded = undefined;
});

afterEach(async () => {
  server.close();
  await rm(dir, { recursive: true });
});

async function withClient<T>(run: (client: TtrpcClient) => Promise<T>): Promise<T> {
  const client = await TtrpcClient.connect(path);
  try {
    return await run(client);
  } finally {
    client.close();
  }
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

const kindOfRejection = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "resolved",
    (error: unknown) => (error instanceof ContainerdError ? `${error.kind}: ${error.message}` : String(error)),
  );

describe("client and server", () => {
  it("answers unary calls, many at a time", () =>
    withClient(async (client) => {
      const answers = await Promise.all(
        Array.from({ length: 500 }, (_, i) => client.call(Demo, "echo", kv(String(i), "x".repeat(i * 10)))),
      );
      answers.forEach((answer, i) => expect(answer).toEqual(kv(String(i), "x".repeat(i * 10))));
    }));

  it("carries metadata, lower-cased and repeated, and the timeout", () =>
    withClient(async (client) => {
      const metadata = new Map([["Containerd-Namespace-TTRPC", ["a", "b"]]]);
      const { list } = await client.call(Demo, "meta", kv(""), { metadata, timeoutMs: 5000 });
      expect(list).toEqual(["containerd-namespace-ttrpc=a|b", "timeout=5000"]);
      expect((await client.call(Demo, "meta", kv(""))).list).toEqual(["timeout=undefined"]);
    }));

  it("turns errors into statuses and back without doubling the kind's text", () =>
    withClient(async (client) => {
      expect(await kindOfRejection(client.call(Demo, "fail", kv("kind")))).toBe(`not-found: thing "x": not found`);
      expect(await kindOfRejection(client.call(Demo, "fail", kv("errno")))).toBe("not-found: no such file: not found");
      expect(await kindOfRejection(client.call(Demo, "fail", kv("")))).toBe("unknown: plain");
    }));

  it("answers Unimplemented for unknown services and methods", () =>
    withClient(async (client) => {
      expect(await kindOfRejection(client.call(Demo, "absent", kv("")))).toMatch(/^not-implemented: .*method Absent/);
      const other = { ...Demo, fullName: "ctrd.test.Other" } as const;
      expect(await kindOfRejection(client.call(other, "echo", kv("")))).toMatch(/^not-implemented: .*ctrd.test.Other/);
    }));

  it("ends a call at its deadline on both sides", () =>
    withClient(async (client) => {
      const call = client.call(Demo, "hang", kv(""), { timeoutMs: 50 });
      expect(await kindOfRejection(call)).toMatch(/^deadline-exceeded/);
      await expect.poll(() => lastCall?.signal.aborted).toBe(true);
      expect(await client.call(Demo, "echo", kv("still", "alive"))).toEqual(kv("still", "alive"));
    }));

  it("gives a call up when its signal aborts", () =>
    withClient(async (client) => {
      const controller = new AbortController();
      const call = client.call(Demo, "hang", kv(""), { signal: controller.signal });
      setTimeout(() => controller.abort(), 20);
      expect(await kindOfRejection(call)).toMatch(/^canceled/);
      expect(await kindOfRejection(client.call(Demo, "echo", kv(""), { signal: controller.signal }))).toMatch(
        /^cancel/,
      );
    }));

  it("fails pending calls when the connection is lost, and tells onClose", async () => {
    const client = await TtrpcClient.connect(path);
    const closed = new Promise((resolve) => client.onClose(() => resolve("closed")));
    const call = client.call(Demo, "hang", kv(""));
    await expect.poll(() => lastCall !== undefined).toBe(true);
    server.close();
    expect(await kindOfRejection(call)).toBe("unavailable: ttrpc: closed: unavailable");
    expect(await closed).toBe("closed");
    expect(await kindOfRejection(client.call(Demo, "echo", kv("")))).toMatch(/^unavailable: ttrpc: closed/);
    await expect.poll(() => lastCall?.signal.aborted).toBe(true);
  });

  it("refuses to send more than 4 MiB, both ways, and lives on", () =>
    withClient(async (client) => {
      const big = kv("", "x".repeat(maxFrameLength));
      expect(await kindOfRejection(client.call(Demo, "echo", big))).toMatch(/^resource-exhausted/);
      // The request fits exactly; so does the answer.
      const room = maxFrameLength - 200;
      expect((await client.call(Demo, "echo", kv("", "y".repeat(room)))).value.length).toBe(room);
    }));

  it("streams from the server", () =>
    withClient(async (client) => {
      const items = await collect(client.serverStream(Demo, "count", kv("200", "v")));
      expect(items.map((item) => item.key)).toEqual(Array.from({ length: 200 }, (_, i) => String(i)));
      const failing = client.serverStream(Demo, "count", kv("2", "then fail"));
      expect((await failing.next()).value).toEqual(kv("0", "then fail"));
      expect((await failing.next()).value).toEqual(kv("1", "then fail"));
      expect(await kindOfRejection(failing.next())).toBe("not-found: the rest: not found");
      expect(await collect(client.serverStream(Demo, "count", kv("0")))).toEqual([]);
    }));

  it("leaves a server stream early", () =>
    withClient(async (client) => {
      for await (const item of client.serverStream(Demo, "count", kv("100"))) if (item.key === "3") break;
      expect(await client.call(Demo, "echo", kv("ok"))).toEqual(kv("ok"));
    }));

  it("streams to the server", () =>
    withClient(async (client) => {
      const numbers = Array.from({ length: 300 }, (_, i) => kv(String(i)));
      expect(await client.clientStream(Demo, "sum", numbers)).toEqual(kv(String((299 * 300) / 2)));
      expect(await client.clientStream(Demo, "sum", [])).toEqual(kv("0"));
    }));

  it("streams both ways", () =>
    withClient(async (client) => {
      const requests = async function* (): AsyncGenerator<KeyValue> {
        for (const word of ["a", "b", "c"]) {
          await sleep(5);
          yield kv(word);
        }
      };
      expect((await collect(client.duplex(Demo, "chat", requests()))).map((item) => item.key)).toEqual(["A", "B", "C"]);
      expect(chatEnded).toBe("end");
    }));

  it("fails a stream whose reader is too slow for a second, and keeps the connection", () =>
    withClient(async (client) => {
      sumGate = sleep(1800);
      const call = client.clientStream(
        Demo,
        "sum",
        Array.from({ length: 500 }, () => kv("1")),
      );
      expect(await kindOfRejection(call)).toMatch(/^invalid-argument: .*queue of the stream is full/);
      expect(await client.call(Demo, "echo", kv("ok"))).toEqual(kv("ok"));
    }));

  it("holds a slow reader's messages when it catches up within a second", () =>
    withClient(async (client) => {
      sumGate = sleep(500);
      const ones = Array.from({ length: 5000 }, () => kv("1"));
      expect(await client.clientStream(Demo, "sum", ones)).toEqual(kv("5000"));
    }));
});

describe("server lifecycle", () => {
  it("makes the socket with its mode, replaces a stale one and refuses a live one", async () => {
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    const second = new TtrpcServer();
    expect(await kindOfRejection(second.listen(path))).toMatch(/^failed-precondition: .*another process/);
    const stale = join(dir, "stale");
    await writeFile(stale, "");
    await second.listen(stale, 0o660);
    expect((await stat(stale)).mode & 0o777).toBe(0o660);
    second.close();
  });

  it("shuts down: idle connections at once, busy ones after their call", async () => {
    const idle = await TtrpcClient.connect(path);
    const busy = await TtrpcClient.connect(path);
    await idle.call(Demo, "echo", kv("x"));
    const call = busy.call(Demo, "hang", kv(""), { timeoutMs: 300 });
    await expect.poll(() => lastCall?.timeout !== undefined).toBe(true);
    const done = server.shutdown();
    await expect.poll(() => idle.closed).toBe(true);
    expect(busy.closed).toBe(false);
    expect(await kindOfRejection(call)).toMatch(/^deadline-exceeded/);
    await done;
    await expect.poll(() => busy.closed).toBe(true);
    await expect(TtrpcClient.connect(path)).rejects.toThrow(/ENOENT|ECONNREFUSED/);
  });

  it("CVE-2020-15257: refuses a peer of another user before reading from it", async () => {
    const refused: string[] = [];
    const guarded = new TtrpcServer({
      peerCredentials: (fd) => ({ pid: fd, uid: 12345, gid: 0 }),
      onRefused: (reason) => refused.push(reason),
    });
    guarded.register(Demo, handlers);
    await guarded.listen(join(dir, "guarded"));
    const client = await TtrpcClient.connect(join(dir, "guarded"));
    expect(await kindOfRejection(client.call(Demo, "echo", kv("")))).toMatch(/^unavailable: ttrpc: closed/);
    expect(refused).toEqual([expect.stringContaining("uid 12345")]);
    expect(lastCall).toBeUndefined();
    guarded.close();
  });
});

/** A peer that speaks raw frames. */
class RawPeer {
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

const invalid = 3;

describe("server against raw frames", () => {
  let peer: RawPeer;
  beforeEach(async () => {
    const socket = connect({ path });
    await new Promise((resolve) => socket.once("connect", resolve));
    peer = new RawPeer(socket);
  });
  afterEach(() => peer.socket.destroy());

  const alive = async (id: number): Promise<void> => {
    peer.request(id, "Echo", KeyValueCodec.encode(kv("a")).finish());
    expect(await peer.next()).toMatchObject({ id, code: 0, type: FrameType.response, flags: 0 });
  };

  it("refuses even, repeated and decreasing ids", async () => {
    peer.request(2, "Echo", nothing);
    expect(await peer.next()).toMatchObject({ id: 2, code: invalid });
    peer.request(0, "Echo", nothing);
    expect(await peer.next()).toMatchObject({ id: 0, code: invalid });
    await alive(5);
    for (const id of [5, 3]) {
      peer.request(id, "Echo", nothing);
      expect(await peer.next()).toMatchObject({ id, code: invalid });
    }
    await alive(7);
  });

  it("refuses data without an active stream and data for a unary call", async () => {
    peer.send(9, FrameType.data, 0, nothing);
    expect(await peer.next()).toMatchObject({ id: 9, code: invalid });
    peer.request(11, "Hang", nothing);
    peer.send(11, FrameType.data, 0, Buffer.from("x"));
    expect(await peer.next()).toMatchObject({ id: 11, code: invalid });
    await alive(13);
  });

  it("refuses a malformed request, ignores unknown frame types and drops oversize frames", async () => {
    peer.send(1, FrameType.request, 0, Buffer.from([0x0a, 0xff, 0xff]));
    expect(await peer.next()).toMatchObject({ id: 1, code: invalid });
    peer.request(3, "Echo", Buffer.from([0x0a, 0xff]));
    expect(await peer.next()).toMatchObject({ id: 3, code: invalid });
    peer.send(5, 0x77, 0, Buffer.from("?"));
    const header = Buffer.alloc(10);
    writeFrameHeader(header, maxFrameLength + 1, 7, FrameType.request, 0);
    peer.socket.write(header);
    expect(await peer.next()).toMatchObject({ id: 7, code: 8 });
    peer.socket.write(Buffer.alloc(maxFrameLength + 1));
    await alive(9);
  });

  it("refuses a half-close that carries data, and data after a half-close", async () => {
    const one = KeyValueCodec.encode(kv("1")).finish();
    let release = (): void => {};
    sumGate = new Promise((resolve) => (release = resolve));
    peer.request(1, "Sum", nothing, FrameFlag.remoteOpen);
    peer.send(1, FrameType.data, FrameFlag.remoteClosed, one);
    expect(await peer.next()).toMatchObject({ id: 1, code: invalid });
    peer.send(1, FrameType.data, 0, one);
    expect(await peer.next()).toMatchObject({ id: 1, code: invalid });
    release();
    await peer.next();
    await alive(3);
  });

  it("gives a client-streaming handler the request's payload first when there is one", async () => {
    const two = KeyValueCodec.encode(kv("2")).finish();
    peer.request(1, "Sum", two, FrameFlag.remoteOpen);
    peer.send(1, FrameType.data, 0, two);
    peer.send(1, FrameType.data, FrameFlag.remoteClosed | FrameFlag.noData, nothing);
    await expect.poll(() => peer.frames.length).toBe(1);
    const { payload } = Response.decode(peer.frames[0]?.data ?? nothing);
    expect(KeyValueCodec.decode(payload)).toEqual(kv("4"));
  });

  it("ends an OK server stream with a closed, empty data frame", async () => {
    peer.request(1, "Count", KeyValueCodec.encode(kv("1")).finish(), FrameFlag.remoteClosed);
    expect(await peer.next()).toMatchObject({ type: FrameType.data, flags: 0 });
    expect(await peer.next()).toMatchObject({ type: FrameType.data, flags: 0x05 });
  });

  it("aborts handlers when the peer vanishes in the middle of a frame", async () => {
    peer.request(1, "Hang", nothing);
    await expect.poll(() => lastCall !== undefined).toBe(true);
    peer.socket.write(Buffer.from([0, 0, 1, 0, 0, 0]));
    peer.socket.destroy();
    await expect.poll(() => lastCall?.signal.aborted).toBe(true);
    await withClient(async (client) => expect(await client.call(Demo, "echo", kv("x"))).toEqual(kv("x")));
  });

  it("lives through random frames", async () => {
    let seed = 7;
    const random = (n: number): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % n;
    for (let i = 0; i < 2000; i++) {
      const data = Buffer.alloc(random(40));
      for (let j = 0; j < data.length; j++) data[j] = random(256);
      peer.send(random(50), random(6), random(8), data);
    }
    peer.request(51, "Echo", nothing);
    await expect.poll(() => peer.frames.find((frame) => frame.streamId === 51)?.type).toBe(FrameType.response);
  });
});

describe("client against a raw server", () => {
  async function withRawServer(run: (client: TtrpcClient, peer: RawPeer) => Promise<void>): Promise<void> {
    const peers: RawPeer[] = [];
    const listener = createServer((socket) => peers.push(new RawPeer(socket)));
    await new Promise<void>((resolve) => listener.listen(join(dir, "raw"), resolve));
    const client = await TtrpcClient.connect(join(dir, "raw"));
    await expect.poll(() => peers.length).toBe(1);
    await run(client, peers[0] as RawPeer);
    client.close();
    listener.close();
  }

  it("uses odd ids from 1 and treats data for a unary call as a protocol error", () =>
    withRawServer(async (client, peer) => {
      const first = client.call(Demo, "echo", kv("a"));
      const second = client.call(Demo, "echo", kv("b"));
      await expect.poll(() => peer.frames.map((frame) => frame.streamId)).toEqual([1, 3]);
      expect(peer.frames.every((frame) => frame.type === FrameType.request && frame.flags === 0)).toBe(true);
      peer.send(1, FrameType.data, 0, nothing);
      expect(await kindOfRejection(first)).toMatch(/protocol error/);
      // A status with code 0 is a success.
      const answer = { status: { code: 0, message: "", details: [] }, payload: KeyValueCodec.encode(kv("z")).finish() };
      peer.send(3, FrameType.response, 0, Response.encode(answer).finish());
      expect(await second).toEqual(kv("z"));
    }));

  it("fails a call whose answer is over the limit and lives on", () =>
    withRawServer(async (client, peer) => {
      const call = client.call(Demo, "echo", kv("a"));
      await expect.poll(() => peer.frames.length).toBe(1);
      const header = Buffer.alloc(10);
      writeFrameHeader(header, maxFrameLength + 1, 1, FrameType.response, 0);
      peer.socket.write(header);
      peer.socket.write(Buffer.alloc(maxFrameLength + 1));
      expect(await kindOfRejection(call)).toMatch(/^resource-exhausted/);
      const next = client.call(Demo, "echo", kv("b"));
      peer.send(3, FrameType.response, 0, nothing);
      expect(await next).toEqual(kv(""));
    }));

  it("fails a server stream that nobody reads for a second", () =>
    withRawServer(async (client, peer) => {
      const stream = client.serverStream(Demo, "count", kv("9"));
      await expect.poll(() => peer.frames.length).toBe(1);
      expect(peer.frames[0]?.flags).toBe(FrameFlag.remoteClosed);
      const message = KeyValueCodec.encode(kv("m")).finish();
      for (let i = 0; i < 70; i++) peer.send(1, FrameType.data, 0, message);
      await sleep(1300);
      expect(await kindOfRejection(stream.next())).toMatch(/^resource-exhausted: .*full/);
      const next = client.call(Demo, "echo", kv("b"));
      peer.send(3, FrameType.response, 0, nothing);
      expect(await next).toEqual(kv(""));
    }));
});
