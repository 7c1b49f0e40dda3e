import { VersionDefinition } from "@ctrd/api/services/version/v1/version";
import { EventsDefinition } from "@ctrd/api/services/events/v1/events";
import type { CallContext } from "@ctrd/core/context";
import { createContext } from "@ctrd/core/context";
import type { Envelope } from "@ctrd/core/events";
import { ContainerdError, notFound, unavailable } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import type { Span, Tracer } from "@ctrd/core/tracing";
import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectHttp2, constants } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { serveOnSocket } from "../serve-on-socket.ts";
import type { ServedSocket, ServeOnSocketOptions } from "../serve-on-socket.ts";
import type { RpcChannel } from "./index.ts";
import { bindService, openChannel } from "./index.ts";

let directory: string;
let path: string;
let server: ServedSocket | undefined;
let channel: RpcChannel;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-rpc-"));
  path = join(directory, "s.sock");
  channel = openChannel(path);
});

afterEach(async () => {
  channel.close();
  await server?.stop();
  server = undefined;
  await rm(directory, { recursive: true });
});

type Version = (ctx: CallContext) => Promise<{ version: string; revision: string }>;

async function serveVersionBy(version: Version, options: ServeOnSocketOptions = {}): Promise<void> {
  server = await serveOnSocket(path, [bindService(VersionDefinition, { version })], options);
}

const ask = (ctx: CallContext = createContext()) => channel.client(VersionDefinition).version(ctx, {});

const envelope = (topic: string): Envelope => ({ timestamp: undefined, namespace: "n", topic, event: undefined });

async function serveSubscribe(
  subscribe: (ctx: CallContext) => AsyncIterable<Envelope>,
  options: ServeOnSocketOptions = {},
): Promise<void> {
  const events = bindService(EventsDefinition, { publish: async () => ({}), forward: async () => ({}), subscribe });
  server = await serveOnSocket(path, [events], options);
}

const subscribe = (ctx: CallContext = createContext()) =>
  channel.client(EventsDefinition).subscribe(ctx, { filters: [] });

describe("unary calls", () => {
  it("carry namespace and lease", async () => {
    await serveVersionBy(async (ctx) => ({ version: ctx.namespace, revision: ctx.lease ?? "none" }));
    expect(await ask(createContext({ namespace: "a", lease: "l" }))).toEqual({ version: "a", revision: "l" });
    expect(await ask()).toEqual({ version: "", revision: "none" });
  });

  it("carry the span, and are spans themselves where there is a tracer", async () => {
    const parents: unknown[] = [];
    const ended: unknown[] = [];
    const span = (traceId: string, spanId: string): Span => ({
      context: { traceId, spanId, sampled: true, state: "x=y" },
      child: (name, kind) => (ended.push([name, kind]), span(traceId, "2".repeat(16))),
      set: (attributes) => void ended.push(attributes),
      end: (error) => void ended.push(error),
    });
    const tracer: Tracer = {
      start(name, kind, parent, attributes) {
        parents.push([name, kind, parent, attributes?.["containerd.namespace"]]);
        return span(parent?.traceId ?? "a".repeat(32), "3".repeat(16));
      },
    };
    await serveVersionBy(async (ctx) => ({ version: ctx.span?.context.spanId ?? "none", revision: "" }), { tracer });
    const method = "containerd.services.version.v1.Version/Version";
    const outer = span("1".repeat(32), "1".repeat(16));
    expect((await ask(createContext({ namespace: "n", span: outer }))).version).toBe("3".repeat(16));
    const parent = { traceId: "1".repeat(32), spanId: "2".repeat(16), sampled: true, state: "x=y" };
    expect(parents).toEqual([[method, "server", parent, "n"]]);
    await expect.poll(() => ended).toEqual([[method, "client"], { "rpc.grpc.status_code": 0 }, undefined, undefined]);
    await ask();
    expect(parents[1]).toEqual([method, "server", undefined, undefined]);
  });

  it("carry errors: kind, full message, its kind's text once", async () => {
    const errors: unknown[] = [
      notFound('image "ä%20☃"'),
      unavailable("ref x locked"),
      new ContainerdError("unknown", "odd"),
    ];
    await serveVersionBy(async () => {
      throw errors.shift();
    });
    await expect(ask()).rejects.toMatchObject({ kind: "not-found", message: 'image "ä%20☃": not found' });
    await expect(ask()).rejects.toMatchObject({ kind: "unavailable", message: "ref x locked: unavailable" });
    await expect(ask()).rejects.toMatchObject({ kind: "unknown", message: "odd" });
  });

  it("turn foreign errors into unknown and log them", async () => {
    const logged: unknown[] = [];
    const log: Logger = { ...silentLogger, error: (fields) => logged.push(fields["err"]), child: () => log };
    await serveVersionBy(
      async () => {
        throw new TypeError(`lone \ud800 surrogate ${"x".repeat(100_000)}`);
      },
      { log },
    );
    await expect(ask()).rejects.toMatchObject({
      kind: "unknown",
      message: expect.stringMatching(/^lone � surrogate x+…$/),
    });
    expect(logged).toHaveLength(1);
  });

  it("abort the handler's signal when the client cancels or the deadline passes", async () => {
    const reasons: unknown[] = [];
    await serveVersionBy(
      (ctx) =>
        new Promise((_, reject) => {
          ctx.signal.addEventListener("abort", () => {
            reasons.push(ctx.signal.reason);
            reject(ctx.signal.reason);
          });
        }),
    );
    const controller = new AbortController();
    const canceled = ask(createContext({ signal: controller.signal }));
    await sleep(100);
    controller.abort();
    await expect(canceled).rejects.toMatchObject({ kind: "canceled" });
    await expect(ask(createContext({ signal: AbortSignal.timeout(100) }))).rejects.toMatchObject({
      kind: "deadline-exceeded",
    });
    const limited = channel.client(VersionDefinition).version(createContext(), {}, { timeoutMs: 100 });
    await expect(limited).rejects.toMatchObject({ kind: "deadline-exceeded" });
    await expect.poll(() => reasons.length).toBe(3);
  });

  it("do not abort the signal after the answer", async () => {
    let signal: AbortSignal | undefined;
    await serveVersionBy(async (ctx) => {
      signal = ctx.signal;
      return { version: "", revision: "" };
    });
    await ask();
    await sleep(50);
    expect(signal?.aborted).toBe(false);
  });

  it("refuse messages over the limits, both ways", async () => {
    await serveVersionBy(async () => ({ version: "x".repeat(2000), revision: "" }), {
      maxSendBytes: 1000,
      maxReceiveBytes: 10,
    });
    await expect(ask()).rejects.toMatchObject({
      kind: "resource-exhausted",
      message: expect.stringContaining("2003 bytes"),
    });
    const request = { timestamp: undefined, namespace: "a".repeat(20), topic: "", event: undefined };
    await server?.stop();
    await serveSubscribe(async function* () {}, { maxReceiveBytes: 10 });
    const forward = channel.client(EventsDefinition).forward(createContext(), { envelope: request });
    await expect(forward).rejects.toMatchObject({ kind: "resource-exhausted" });
  });

  it("answer unknown methods with not-implemented", async () => {
    await serveVersionBy(async () => ({ version: "", revision: "" }));
    const forward = channel.client(EventsDefinition).forward(createContext(), { envelope: undefined });
    await expect(forward).rejects.toMatchObject({ kind: "not-implemented" });
  });

  it("fail with unavailable without a server, and work once there is one", async () => {
    await expect(ask()).rejects.toMatchObject({ kind: "unavailable" });
    await expect(channel.ready(50)).rejects.toMatchObject({ message: expect.stringContaining(path) });
    await serveVersionBy(async () => ({ version: "1", revision: "" }));
    await channel.ready();
    expect((await ask()).version).toBe("1");
  });
});

describe("streams", () => {
  it("have begun when the client sees headers, and end with the client", async () => {
    let begun = 0;
    let ended = 0;
    await serveSubscribe(async function* (ctx) {
      begun++;
      try {
        yield envelope("first");
        await new Promise<void>((resolve) => ctx.signal.addEventListener("abort", () => resolve()));
      } finally {
        ended++;
      }
    });
    for await (const { topic } of subscribe()) {
      expect(topic).toBe("first");
      break;
    }
    expect(begun).toBe(1);
    await expect.poll(() => ended).toBe(1);
  });

  it("are pulled no faster than the client reads", async () => {
    let made = 0;
    const large = "x".repeat(1 << 20);
    await serveSubscribe(async function* () {
      for (; made < 100; made++) yield envelope(large);
    });
    const messages = subscribe()[Symbol.asyncIterator]();
    await messages.next();
    await sleep(300);
    expect(made).toBeLessThan(30);
    let read = 1;
    while ((await messages.next()).done !== true) read++;
    expect(read).toBe(100);
  });

  it("deliver what was sent before an error", async () => {
    await serveSubscribe(async function* () {
      for (let i = 0; i < 50; i++) yield envelope(`${i}`);
      throw notFound("the end");
    });
    const topics: string[] = [];
    const reading = (async () => {
      for await (const { topic } of subscribe()) topics.push(topic);
    })();
    await expect(reading).rejects.toMatchObject({ kind: "not-found", message: "the end: not found" });
    expect(topics).toHaveLength(50);
  });

  it("end at once when the client's signal aborts", async () => {
    await serveSubscribe(async function* (ctx) {
      yield envelope("first");
      await new Promise<void>((resolve) => ctx.signal.addEventListener("abort", () => resolve()));
    });
    const controller = new AbortController();
    const messages = subscribe(createContext({ signal: controller.signal }))[Symbol.asyncIterator]();
    await messages.next();
    controller.abort();
    await expect(messages.next()).rejects.toMatchObject({ kind: "canceled" });
  });
});

describe("hostile peers", () => {
  it("survives thousands of resets on one connection", async () => {
    await serveVersionBy(async () => ({ version: "1", revision: "" }));
    const session = connectHttp2("http://localhost", { createConnection: () => connect(path) });
    for (let i = 0; i < 3000; i++) {
      const stream = session.request({
        ":method": "POST",
        ":path": "/containerd.services.version.v1.Version/Version",
        "content-type": "application/grpc",
      });
      stream.on("error", () => {});
      stream.write(Buffer.alloc(5));
      stream.close(constants.NGHTTP2_CANCEL);
      if (i % 100 === 0) await sleep(1);
    }
    await sleep(100);
    expect(session.closed || session.destroyed).toBe(false);
    session.destroy();
    expect((await ask()).version).toBe("1");
  });

  it.each([
    ["a message that does not decode", Buffer.from([0, 0, 0, 0, 2, 0x0a, 0xff]), "13"],
    ["a compressed message", Buffer.from([1, 0, 0, 0, 0]), "12"],
    ["no message", Buffer.alloc(0), "13"],
    ["a length over the limit", Buffer.from([0, 0xff, 0xff, 0xff, 0xff]), "8"],
  ])("answers %s with an error", async (_name, bytes, code) => {
    await serveSubscribe(async function* () {});
    const session = connectHttp2("http://localhost", { createConnection: () => connect(path) });
    const stream = session.request({
      ":method": "POST",
      ":path": "/containerd.services.events.v1.Events/Publish",
      "content-type": "application/grpc",
    });
    const headers = new Promise<Record<string, unknown>>((resolve) => stream.once("response", resolve));
    stream.end(bytes);
    expect((await headers)["grpc-status"]).toBe(code);
    session.destroy();
  });

  it("survives bytes that are not HTTP/2", async () => {
    await serveVersionBy(async () => ({ version: "1", revision: "" }));
    for (const bytes of [
      Buffer.from("GET / HTTP/1.1\r\n\r\n"),
      Buffer.alloc(5000, 0xff),
      Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff"),
    ]) {
      const socket = connect(path);
      socket.on("error", () => {});
      socket.resume();
      socket.end(bytes);
      await new Promise((resolve) => socket.once("close", resolve));
    }
    expect((await ask()).version).toBe("1");
  });
});

describe("stop", () => {
  it("lets calls end", async () => {
    await serveVersionBy(
      async () => {
        await sleep(200);
        return { version: "late", revision: "" };
      },
      { graceMs: 5000 },
    );
    const answer = ask();
    await sleep(50);
    await server?.stop();
    expect((await answer).version).toBe("late");
    await expect(ask()).rejects.toMatchObject({ kind: "unavailable" });
  });

  it("cancels what is left after the grace", async () => {
    let reason: unknown;
    await serveSubscribe(
      async function* (ctx) {
        yield envelope("first");
        await new Promise<void>((resolve) => ctx.signal.addEventListener("abort", () => resolve()));
        reason = ctx.signal.reason;
      },
      { graceMs: 100 },
    );
    const messages = subscribe()[Symbol.asyncIterator]();
    await messages.next();
    const start = performance.now();
    await server?.stop();
    expect(performance.now() - start).toBeLessThan(2000);
    await expect(messages.next()).rejects.toMatchObject({
      kind: expect.stringMatching(/unavailable|canceled|internal/),
    });
    await expect.poll(() => reason).toMatchObject({ kind: "canceled" });
  });
});
