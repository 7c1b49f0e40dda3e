// Node's HTTP/2 client, and raw bytes, against the server's connection.
import { once } from "node:events";
import type { ClientHttp2Session } from "node:http2";
import { connect as connectHttp2, constants } from "node:http2";
import type { Server, Socket } from "node:net";
import { connect, createServer } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Http2Stream } from "./index.ts";
import { encodeHeaders, Http2Connection } from "./index.ts";

let directory: string;
let path: string;
let server: Server;
let connections: Http2Connection[];
let errors: Error[];
let onStream: (stream: Http2Stream) => void;
let session: ClientHttp2Session | undefined;

const ok = encodeHeaders([[":status", "200"]]);
const trailers = encodeHeaders([["grpc-status", "0"]]);

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-http2-"));
  path = join(directory, "s.sock");
  connections = [];
  errors = [];
  onStream = (stream) => {
    stream.respond(ok);
    stream.end(trailers);
    stream.discard();
  };
  server = createServer((socket) => {
    connections.push(
      new Http2Connection(socket, {
        stream: (stream) => onStream(stream),
        error: (error) => errors.push(error),
        close: () => {},
      }),
    );
  });
  server.listen(path);
  await once(server, "listening");
});

afterEach(async () => {
  session?.destroy();
  session = undefined;
  for (const connection of connections) connection.destroy();
  server.close();
  await once(server, "close");
  await rm(directory, { recursive: true });
});

function client(settings: { initialWindowSize?: number; headerTableSize?: number } = {}): ClientHttp2Session {
  // In MB: what it may keep to send.
  session = connectHttp2("http://localhost", {
    createConnection: () => connect(path),
    settings,
    maxSessionMemory: 100,
  });
  session.on("error", () => {});
  return session;
}

/** Sends a request with a body; what comes back. */
async function request(
  by: ClientHttp2Session,
  body: Buffer | string = "",
): Promise<{ body: Buffer; trailers: object }> {
  const stream = by.request({ ":method": "POST", ":path": "/x" });
  let end: object = {};
  stream.on("trailers", (received: object) => (end = { ...received }));
  stream.end(body);
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return { body: Buffer.concat(chunks), trailers: end };
}

/** Answers with what came, in pieces of one MiB. */
function echo(stream: Http2Stream): void {
  const chunks: Buffer[] = [];
  stream.respond(ok);
  stream.read({
    data: (chunk) => chunks.push(Buffer.from(chunk)),
    end() {
      const all = Buffer.concat(chunks);
      for (let at = 0; at < all.length; at += 1 << 20) stream.write(all.subarray(at, at + (1 << 20)));
      stream.end(trailers);
    },
  });
}

describe("requests", () => {
  it("are answered with headers, body and trailers", async () => {
    onStream = echo;
    const { body, trailers: end } = await request(client(), "hello");
    expect(body.toString()).toBe("hello");
    expect(end).toMatchObject({ "grpc-status": "0" });
  });

  it("may be larger than every window, both ways, many at once", async () => {
    onStream = echo;
    const by = client({ initialWindowSize: 10_000 });
    const bodies = [5, 3, 7].map((size, index) => Buffer.alloc(size << 20, index + 1));
    const answers = await Promise.all(bodies.map((body) => request(by, body)));
    answers.forEach(({ body }, index) => expect(body.equals(bodies[index] ?? Buffer.alloc(0))).toBe(true));
    expect(errors).toEqual([]);
  });

  it("are answered to a client that keeps no table of headers", async () => {
    onStream = echo;
    const by = client({ headerTableSize: 0 });
    for (const text of ["a", "b", "c"]) expect((await request(by, text)).body.toString()).toBe(text);
  });

  it("carry long values: in several frames", async () => {
    const message = "m".repeat(40_000);
    onStream = (stream) => {
      stream.respond(ok);
      stream.end(encodeHeaders([["grpc-message", `${message}${stream.headers["x-long"]?.length}`]]));
      stream.discard();
    };
    const stream = client().request({ ":method": "POST", ":path": "/x", "x-long": "é".repeat(20_000) });
    const [end] = (await once(stream.resume(), "trailers")) as [Record<string, string>];
    expect(end["grpc-message"]).toBe(`${message}20000`);
  });

  it("wait while nobody reads: at most a window is kept, and other streams go on", async () => {
    let slow: Http2Stream | undefined;
    onStream = (stream) => {
      if (stream.headers[":path"] === "/slow") slow = stream;
      else echo(stream);
    };
    const by = client();
    const stuck = by.request({ ":method": "POST", ":path": "/slow" });
    stuck.write(Buffer.alloc(32 << 20));
    await expect.poll(() => slow).toBeDefined();
    for (let count = 0; count < 5; count++) await request(by, Buffer.alloc(4 << 20));
    expect(slow?.received).toBeLessThanOrEqual(2 << 20);
    let read = 0;
    slow?.read({ data: (chunk) => (read += chunk.length), end() {} });
    stuck.end();
    await expect.poll(() => read, { timeout: 10_000 }).toBe(32 << 20);
  });

  it("tell when their pieces have left, and that the client has reset them", async () => {
    const told: string[] = [];
    onStream = (stream) => {
      stream.onAbort = () => told.push("abort");
      stream.respond(ok);
      stream.write(Buffer.alloc(1000), () => told.push("sent"));
    };
    const stream = client().request({ ":method": "POST", ":path": "/x" });
    await once(stream, "data");
    await expect.poll(() => told).toEqual(["sent"]);
    stream.close(constants.NGHTTP2_CANCEL);
    await expect.poll(() => told).toEqual(["sent", "abort"]);
  });
});

describe("a connection", () => {
  it("ends with its last stream when it is closed, and lets no more begin", async () => {
    const open: Http2Stream[] = [];
    onStream = (stream) => open.push(stream);
    const by = client();
    const answered = request(by);
    await expect.poll(() => open.length).toBe(1);
    connections[0]?.close();
    await once(by, "goaway");
    const [stream] = open;
    stream?.respond(ok);
    stream?.end(trailers);
    expect((await answered).trailers).toMatchObject({ "grpc-status": "0" });
    if (!by.destroyed) await once(by, "close");
    expect(open).toHaveLength(1);
  });

  it("aborts its streams when the socket breaks", async () => {
    let aborted = 0;
    onStream = (stream) => (stream.onAbort = () => aborted++);
    const by = client();
    for (let count = 0; count < 3; count++) by.request({ ":method": "POST", ":path": "/x" }).on("error", () => {});
    await expect.poll(() => connections.length).toBe(1);
    await sleep(50);
    by.socket.destroy();
    await expect.poll(() => aborted).toBe(3);
  });
});

describe("a client that breaks the protocol", () => {
  const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  const frame = (type: number, flags: number, stream: number, payload: Buffer): Buffer => {
    const header = Buffer.alloc(9);
    header.writeUIntBE(payload.length, 0, 3);
    header[3] = type;
    header[4] = flags;
    header.writeUInt32BE(stream, 5);
    return Buffer.concat([header, payload]);
  };
  const settings = frame(4, 0, 0, Buffer.alloc(0));

  /** Sends bytes; waits until the server has ended the connection. */
  async function provoke(...parts: Buffer[]): Promise<string> {
    const socket: Socket = connect(path);
    socket.on("error", () => {}).resume();
    for (const part of parts) socket.write(part);
    await once(socket, "close");
    return errors.map(String).join();
  }

  it.each([
    ["HTTP/1", [Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")], /does not speak HTTP\/2/],
    ["no SETTINGS", [preface, frame(6, 0, 0, Buffer.alloc(8))], /SETTINGS do not come first/],
    ["a frame that is too large", [preface, settings, Buffer.from("0fffff00000000000001", "hex")], /a frame of/],
    [
      "CONTINUATION without an end",
      [
        preface,
        settings,
        frame(1, 0, 1, Buffer.alloc(0)),
        ...Array.from({ length: 100 }, () => frame(9, 0, 1, Buffer.alloc(0))),
      ],
      /header block of more/,
    ],
    [
      "a header block without an end",
      [
        preface,
        settings,
        frame(1, 0, 1, Buffer.alloc(16_000)),
        ...Array.from({ length: 5 }, () => frame(9, 0, 1, Buffer.alloc(16_000))),
      ],
      /header block of more/,
    ],
    [
      "a stream of the server's",
      [preface, settings, frame(1, 5, 2, Buffer.from([0x83, 0x86, 0x84]))],
      /not a client's/,
    ],
    [
      "a window that overflows",
      [preface, settings, frame(8, 0, 0, Buffer.from("7fffffff", "hex"))],
      /window is too large/,
    ],
  ] as const)("%s: the connection ends, and says why", async (_what, parts, message) => {
    expect(await provoke(...parts)).toMatch(message);
  });

  it("cannot make answers to its pings pile up", async () => {
    const socket = connect(path);
    socket.on("error", () => {}).pause();
    socket.write(Buffer.concat([preface, settings]));
    const pings = Buffer.concat(Array.from({ length: 3000 }, () => frame(6, 0, 0, Buffer.alloc(8))));
    const flood = setInterval(() => socket.write(pings), 1);
    try {
      await expect.poll(() => errors.map(String).join(), { timeout: 10_000 }).toMatch(/does not read|asks/);
    } finally {
      clearInterval(flood);
      socket.destroy();
    }
  });
});
