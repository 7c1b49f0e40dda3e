import { ExecRequest, PortForwardRequest } from "@ctrd/api/cri/runtime/v1/api";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { askUpgrade } from "../../test/spdy-client.ts";
import type { LocalStreaming } from "../../test/streaming-cri.ts";
import { openLocalStreaming } from "../../test/streaming-cri.ts";
import { FrameParser } from "./websocket/frames.ts";

const exec = (...cmd: string[]): ExecRequest =>
  ExecRequest.create({ containerId: "c1", cmd, stdout: true, stderr: true });

/** A session from its start to its end: channel and bytes of every message. */
class Session {
  readonly socket: WebSocket;
  readonly messages: (readonly [channel: number, text: string])[] = [];
  readonly closed: Promise<CloseEvent>;

  constructor(url: string, protocols: string[] = []) {
    this.socket = new WebSocket(url.replace("http", "ws"), protocols);
    this.socket.binaryType = "arraybuffer";
    this.socket.addEventListener("error", () => {});
    this.socket.addEventListener("message", (event) => {
      const data = event.data as string | ArrayBuffer;
      if (typeof data === "string")
        this.messages.push([Number(data[0]), Buffer.from(data.slice(1), "base64").toString("latin1")]);
      else this.messages.push([new Uint8Array(data)[0] ?? -1, Buffer.from(data).subarray(1).toString("latin1")]);
    });
    this.closed = once(this.socket, "close").then(([event]) => event as CloseEvent);
  }

  text(channel: number): string {
    return this.messages.flatMap(([number, text]) => (number === channel ? [text] : [])).join("");
  }

  async until(condition: () => boolean): Promise<void> {
    const deadline = Date.now() + 20_000;
    while (!condition()) {
      if (Date.now() > deadline) throw new Error(`not in time; so far ${JSON.stringify(this.messages)}`);
      await sleep(5);
    }
  }
}

describe("exec", () => {
  const failure =
    '{"status":"Failure","message":"command terminated with non-zero exit code: exit code 3","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}';
  const text = "command terminated with non-zero exit code: exit code 3";

  it.each<[string, string]>([
    ["", text],
    ["channel.k8s.io", text],
    ["base64.channel.k8s.io", text],
    ["v4.channel.k8s.io", failure],
    ["v4.base64.channel.k8s.io", failure],
    ["v5.channel.k8s.io", failure],
  ])('over "%s"', async (protocol, status) => {
    await using streaming = await openLocalStreaming();
    const url = streaming.server.getExec(exec("sh", "-c", "echo out; echo err >&2; exit 3"));
    const session = new Session(url, protocol === "" ? [] : ["unknown", protocol]);
    expect((await session.closed).code).toBe(1000);
    expect(session.socket.protocol).toBe(protocol);
    expect(session.messages[0]).toEqual([1, ""]);
    expect([1, 2, 3].map((channel) => session.text(channel))).toEqual(["out\n", "err\n", status]);
  });

  it.each(["v4.channel.k8s.io", "v4.base64.channel.k8s.io", "v5.channel.k8s.io"])(
    "takes input and sizes over %s",
    async (protocol) => {
      await using streaming = await openLocalStreaming();
      const request = ExecRequest.create({
        containerId: "c1",
        cmd: ["head", "-c", "200005"],
        stdin: true,
        stdout: true,
        tty: true,
      });
      const session = new Session(streaming.server.getExec(request), [protocol]);
      await once(session.socket, "open");
      const send = (channel: number, bytes: string): void =>
        session.socket.send(
          protocol.includes("base64")
            ? channel + Buffer.from(bytes).toString("base64")
            : Buffer.from(String.fromCharCode(channel) + bytes),
        );
      send(4, '{"Width":80,"Height":24}');
      await session.until(() => session.text(1) === "[80x24]");
      send(2, "of no use");
      send(7, "of no use");
      send(0, "");
      send(0, "x".repeat(100_000));
      send(0, "y".repeat(100_000));
      send(0, "hello");
      await session.closed;
      expect(session.text(1)).toBe(`[80x24]${"x".repeat(100_000)}${"y".repeat(100_000)}hello`);
    },
  );

  it("ends stdin only in v5, and announces itself on the first channel that is there", async () => {
    await using streaming = await openLocalStreaming();
    const request = ExecRequest.create({ containerId: "c1", cmd: ["cat"], stdin: true });
    const session = new Session(streaming.server.getExec(request), ["v5.channel.k8s.io"]);
    await once(session.socket, "open");
    session.socket.send(Buffer.from([255, 0]));
    await session.closed;
    expect(session.messages).toEqual([
      [3, ""],
      [3, '{"status":"Success"}'],
    ]);
  });

  it("ends its call when the client goes", async () => {
    await using streaming = await openLocalStreaming();
    const session = new Session(streaming.server.getExec(exec("sleep", "600")), ["v4.channel.k8s.io"]);
    await session.until(() => streaming.runtime.running === 1);
    session.socket.close();
    await session.until(() => streaming.runtime.running === 0);
    await session.closed;
  });
});

describe("port-forward", () => {
  const startServer = async () => {
    const server = createServer((socket) => {
      socket.write("hello ");
      socket.pipe(socket);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    return { port: (server.address() as AddressInfo).port, close: () => server.close() };
  };

  it.each(["", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"])('over "%s": two channels a port', async (protocol) => {
    await using streaming = await openLocalStreaming();
    const server = await startServer();
    const request = PortForwardRequest.create({ podSandboxId: "p1", port: [server.port, 1] });
    const session = new Session(streaming.server.getPortForward(request), protocol === "" ? [] : [protocol]);
    await session.until(() => session.text(3).includes("ECONNREFUSED") && session.text(0).includes("hello "));
    const number = (port: number): string => String.fromCharCode(port & 0xff, port >> 8);
    expect(session.messages.filter(([, text]) => text.length === 2).toSorted()).toEqual([
      [0, number(server.port)],
      [1, number(server.port)],
      [2, number(1)],
      [3, number(1)],
    ]);
    session.socket.send(
      protocol.includes("base64") ? `0${Buffer.from("you").toString("base64")}` : Buffer.from("\0you"),
    );
    await session.until(() => session.text(0).endsWith("hello you"));
    session.socket.close();
    await session.until(() => streaming.runtime.running === 0);
    server.close();
  });

  it("is refused without ports", async () => {
    await using streaming = await openLocalStreaming();
    const url = streaming.server.getPortForward(PortForwardRequest.create({ podSandboxId: "p1" }));
    expect(await askUpgrade(url, handshake, "GET")).toMatchObject({ kind: "refused", status: 400 });
  });
});

const handshake = {
  Connection: "Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
};

describe("handshakes", () => {
  it("that do not fit are refused", async () => {
    await using streaming = await openLocalStreaming();
    const ask = async (headers: Record<string, string>) =>
      askUpgrade(streaming.server.getExec(exec("true")), headers, "GET");
    const { "Sec-WebSocket-Key": _key, ...withoutKey } = handshake;
    expect(await ask(withoutKey)).toMatchObject({ status: 400 });
    expect(await ask({ ...handshake, "Sec-WebSocket-Version": "8" })).toMatchObject({ status: 426 });
    expect(await ask({ ...handshake, "Sec-WebSocket-Protocol": "mqtt" })).toMatchObject({ status: 403 });
    const answer = await ask(handshake);
    if (answer.kind !== "switched") throw new Error("refused");
    // The example of RFC 6455.
    expect(answer.response.headers["sec-websocket-accept"]).toBe("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    answer.socket.destroy();
  });
});

/** A client's frame. */
function frame(start: number, payload: Buffer | string, mask = true): Buffer {
  const bytes = Buffer.from(payload);
  const head = Buffer.from([start, (mask ? 0x80 : 0) | bytes.length, ...(mask ? [1, 2, 3, 4] : [])]);
  return Buffer.concat([head, mask ? bytes.map((byte, index) => byte ^ ((index & 3) + 1)) : bytes]);
}

async function connectRaw(streaming: LocalStreaming, request: ExecRequest) {
  const headers = { ...handshake, "Sec-WebSocket-Protocol": "v4.channel.k8s.io" };
  const answer = await askUpgrade(streaming.server.getExec(request), headers, "GET");
  if (answer.kind !== "switched") throw new Error("refused");
  const { socket, head } = answer;
  const pieces: Buffer[] = [head];
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => pieces.push(chunk));
  const closed = once(socket, "close").then(() => Buffer.concat(pieces));
  return { socket, closed };
}

describe("frames", () => {
  const cat = ExecRequest.create({ containerId: "c1", cmd: ["head", "-c", "6"], stdin: true, stdout: true });

  it("may be parts of a message, with others between", async () => {
    await using streaming = await openLocalStreaming();
    const { socket, closed } = await connectRaw(streaming, cat);
    const parts = [frame(0x02, "\0"), frame(0x89, "ping"), frame(0x00, "abc"), frame(0x00, ""), frame(0x80, "def")];
    // Byte by byte.
    for (const byte of Buffer.concat(parts)) socket.write(Buffer.from([byte]));
    const text = (await closed).toString("latin1");
    expect(text).toContain("\x8a\x04ping");
    expect(text).toContain("\x82\x07\x01abcdef");
  });

  it.each<[string, Buffer, number]>([
    ["that are not masked", frame(0x82, "\0abc", false), 1002],
    ["with reserved bits", frame(0xc2, "\0abc"), 1002],
    ["of no known operation", frame(0x83, "\0abc"), 1002],
    ["of text", frame(0x81, "0YWJj"), 1003],
    ["that continue nothing", frame(0x80, "abc"), 1002],
    ["that begin inside a message", Buffer.concat([frame(0x02, "\0a"), frame(0x82, "\0b")]), 1002],
    ["of control in parts", frame(0x09, "a"), 1002],
    ["that are endless", Buffer.from("82ffffffffffffffffff00000000", "hex"), 1002],
  ])("%s end the connection", async (_name, bytes, status) => {
    await using streaming = await openLocalStreaming();
    const { socket, closed } = await connectRaw(streaming, cat);
    socket.write(bytes);
    const text = (await closed).toString("latin1");
    expect(text).toContain(String.fromCharCode(status >> 8, status & 0xff));
    await expect.poll(() => streaming.runtime.running, { timeout: 20_000 }).toBe(0);
  });

  it("of any kind never end the daemon, nor leave calls behind", async () => {
    await using streaming = await openLocalStreaming();
    const random = (below: number): number => Math.floor(Math.random() * below);
    const rounds = Array.from({ length: 200 }, async () => {
      const { socket, closed } = await connectRaw(streaming, { ...cat, cmd: ["sleep", "600"] });
      for (let index = random(20); index > 0; index--) {
        const bytes = frame(random(2) === 0 ? 0x82 : random(256), Buffer.alloc(random(100)), random(10) > 0);
        if (random(5) === 0) bytes[random(bytes.length)] = random(256);
        socket.write(bytes);
      }
      if (random(2) === 0) socket.end();
      else socket.destroy();
      await closed;
    });
    await Promise.all(rounds);
    await expect.poll(() => streaming.runtime.running, { timeout: 20_000 }).toBe(0);
  });

  it("are read the same however they are cut", () => {
    const whole = Buffer.concat([
      frame(0x02, "ab"),
      frame(0x8a, ""),
      frame(0x80, "cdef"),
      frame(0x82, "g"),
      frame(0x88, ""),
    ]);
    for (let size = 1; size < whole.length; size++) {
      const parser = new FrameParser();
      const messages: string[] = [];
      const controls: number[] = [];
      // Frames are unmasked where they are.
      const bytes = Buffer.from(whole);
      for (let at = 0; at < bytes.length; at += size) {
        parser.push(bytes.subarray(at, at + size));
        for (let next = parser.read(); next !== undefined; next = parser.read()) {
          if (next.kind === "control") controls.push(next.opcode);
          else if (next.first) messages.push(next.chunk.toString());
          else messages.push(messages.pop() + next.chunk.toString());
        }
      }
      expect([messages, controls]).toEqual([
        ["abcdef", "g"],
        [10, 8],
      ]);
    }
  });
});
