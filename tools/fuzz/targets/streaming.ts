/**
 * Frames: ttrpc from both sides, SPDY and WebSocket as the server of streams reads them.
 *
 * @module
 */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { Socket } from "node:net";
import { join } from "node:path";
import { setImmediate as turn, setTimeout as wait } from "node:timers/promises";
import { StateResponse, TaskDefinition } from "@ctrd/api/runtime/task/v3/shim";
import { ContainerdError } from "@ctrd/core/errors";
import { tempDir } from "@ctrd/testkit/fixtures";
import { encodeFrame, FrameDecoder, FrameFlag, FrameType, TtrpcClient, TtrpcServer } from "@ctrd/ttrpc";
import {
  controlFrame,
  dataHeader,
  FrameParser as SpdyParser,
} from "../../../packages/cri/src/streaming/spdy/frames.ts";
import { ProtocolError } from "../../../packages/cri/src/streaming/spdy/frames.ts";
import { HeaderReader, HeaderWriter, parseHeaders } from "../../../packages/cri/src/streaming/spdy/header-blocks.ts";
import {
  FrameParser as WebSocketParser,
  WebSocketError,
} from "../../../packages/cri/src/streaming/websocket/frames.ts";
import { Request } from "@ctrd/api/ttrpc/request";
import { mutateBytes } from "../mutate.ts";
import { mutateMessage } from "../mutate-protobuf.ts";
import type { OpenTarget, Target } from "../target.ts";
import { ensure } from "../target.ts";

const nothing = Buffer.alloc(0);

function ttrpcSeeds(): Buffer[] {
  const request = (id: number, service: string, method: string): Buffer => {
    const envelope = Request.encode(Request.fromPartial({ service, method, timeoutNano: 1_000_000n })).finish();
    return Buffer.concat(encodeFrame(id, FrameType.request, 0, envelope, 3, Buffer.from([10, 1, 97])));
  };
  const service = TaskDefinition.fullName;
  const response = Buffer.concat(encodeFrame(1, FrameType.response, 0, Buffer.from([0x12, 0]), 0, nothing));
  const data = Buffer.concat(encodeFrame(1, FrameType.data, FrameFlag.remoteClosed, Buffer.from([1, 2]), 0, nothing));
  return [
    request(1, service, "State"),
    Buffer.concat([request(1, service, "State"), request(3, service, "Wait"), request(5, "x", "y")]),
    Buffer.concat([request(1, service, "Kill"), data]),
    response,
    Buffer.concat([response, data]),
  ];
}

/** A server of the shim's service is given the input, then must still serve another connection; so is a client. */
async function openTtrpc(): Promise<OpenTarget> {
  const directory = await tempDir("fuzz-ttrpc-");
  const [path, wrongPath] = [join(directory.path, "s"), join(directory.path, "wrong")];
  const server = new TtrpcServer();
  server.register(TaskDefinition, { state: async (_call, { id }) => StateResponse.fromPartial({ id }) });
  await server.listen(path);
  const wrong: WrongServer = { answer: nothing };
  const listener = createServer((socket) => void converse(socket, wrong.answer)).listen(wrongPath);
  await once(listener, "listening");
  return {
    run: async (input) => {
      await converse(connect(path), input);
      wrong.answer = input;
      // Any answer will do. An error may be the peer's own, of any kind.
      await call(wrongPath, "a").catch((error: unknown) => {
        if (!(error instanceof ContainerdError)) throw error;
      });
      const { id } = await call(path, "alive");
      ensure(id === "alive", () => `the server answers "${id}"`);
    },
    close: async () => {
      listener.close();
      await server.shutdown();
      await directory[Symbol.asyncDispose]();
    },
  };
}

interface WrongServer {
  answer: Buffer;
}

async function call(path: string, id: string): Promise<{ id: string }> {
  const client = await TtrpcClient.connect(path);
  try {
    return await client.call(TaskDefinition, "state", { id, execId: "" }, { timeoutMs: 5_000 });
  } finally {
    client.close();
  }
}

/** Sends in two pieces, checks that what comes are frames, and ends. */
async function converse(peer: Socket, input: Buffer): Promise<void> {
  const types: number[] = [];
  const decoder = new FrameDecoder({ frame: ({ type }) => void types.push(type), oversize: () => void types.push(-1) });
  peer.on("data", (chunk: Buffer) => decoder.push(chunk));
  // A connection that is ended with bytes unread.
  peer.on("error", () => {});
  const closed = new Promise((resolve) => peer.once("close", resolve));
  const middle = (input[0] ?? 0) % (input.length + 1);
  peer.write(input.subarray(0, middle));
  await turn();
  peer.end(input.subarray(middle));
  await closed;
  ensure(
    types.every((type) => type >= 1 && type <= 3),
    () => `frames of types ${types.join()} came`,
  );
}

/** Lets errors of the protocol be answers. */
function answering(read: () => void): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof ProtocolError) && !(error instanceof WebSocketError)) throw error;
  }
}

/** Gives the input in pieces and reads all frames. */
function readFrames(parser: SpdyParser | WebSocketParser, input: Buffer, piece: number): string {
  const found: string[] = [];
  let data = nothing;
  const flush = (): void => void (data.length > 0 && found.push(data.toString("hex")), (data = nothing));
  let failed = false;
  for (let at = 0; at < input.length && !failed; at += piece) {
    failed = true;
    parser.push(Buffer.from(input.subarray(at, at + piece)));
    answering(() => {
      for (let frame = parser.read(); frame !== undefined; frame = parser.read()) {
        if (frame.kind === "data") data = Buffer.concat([data, frame.chunk]);
        else {
          flush();
          found.push(frame.payload.toString("hex"));
        }
      }
      failed = false;
    });
  }
  flush();
  return `${found.join()} ${failed ? "failed" : ""}`;
}

function sameInPieces(make: () => SpdyParser | WebSocketParser, input: Buffer): void {
  const whole = readFrames(make(), input, input.length + 1);
  const pieces = readFrames(make(), input, 1 + ((input[3] ?? 0) % 9));
  ensure(whole === pieces, () => `whole: ${whole}\nin pieces: ${pieces}`);
}

async function readSpdy(input: Buffer): Promise<void> {
  sameInPieces(() => new SpdyParser(), input);
  answering(() => void parseHeaders(input));
  const reader = new HeaderReader();
  try {
    const late = wait(1_000, "late", { ref: false });
    const headers = await Promise.race([reader.read(input), late]);
    ensure(headers !== "late", () => "a header block is read for ever");
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
  } finally {
    reader.close();
  }
}

function spdySeeds(): Buffer[] {
  const headers = new Map([
    ["streamtype", "stdin"],
    ["port", "80"],
  ]);
  const block = new HeaderWriter().write(headers);
  return [
    Buffer.concat([controlFrame(1, 1, 0, Buffer.from([0, 0]), block), dataHeader(1, 3, true), Buffer.from("abc")]),
    controlFrame(6, 1),
    controlFrame(3, 1, 5),
    Buffer.concat([dataHeader(3, 0, false), dataHeader(3, 2, false), Buffer.from("xy")]),
    block,
  ];
}

function webSocketSeeds(): Buffer[] {
  const frame = (first: number, text: string): Buffer =>
    Buffer.concat([Buffer.from([first, 0x80 | text.length, 1, 2, 3, 4]), Buffer.from(text)]);
  const long = Buffer.concat([Buffer.from([0x82, 0xfe, 0, 200, 1, 2, 3, 4]), Buffer.alloc(200)]);
  const huge = Buffer.concat([Buffer.from([0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4]), Buffer.alloc(100)]);
  const parts = Buffer.concat([frame(0x02, "ab"), frame(0x89, "p"), frame(0x00, "cd"), frame(0x80, "e")]);
  return [frame(0x82, "abc"), frame(0x81, "0YQ=="), frame(0x88, "\x03\xe8"), parts, long, huge];
}

export const streamingTargets: readonly Target[] = [
  {
    name: "ttrpc",
    seeds: ttrpcSeeds,
    mutate: (random, input, corpus) => {
      if (!random.oneIn(3)) return mutateBytes(random, input, corpus);
      const message = mutateMessage(random, input, corpus);
      const type = random.pick([1, 2, 3, random.below(256)]);
      return Buffer.concat(encodeFrame(1 + 2 * random.below(3), type, random.below(8), message, 0, nothing));
    },
    open: openTtrpc,
  },
  { name: "spdy", seeds: spdySeeds, mutate: mutateBytes, open: () => ({ run: readSpdy }) },
  {
    name: "websocket",
    seeds: webSocketSeeds,
    mutate: mutateBytes,
    open: () => ({ run: (input) => sameInPieces(() => new WebSocketParser(), input) }),
  },
];
