/**
 * A daemon of its own: random messages to every method, requests that end early, and bytes that are no HTTP/2.
 *
 * @module
 */
import { readdirSync } from "node:fs";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import http2 from "node:http2";
import { connect } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { startCtrd } from "@ctrd/testkit/fixtures";
import { mutateBytes } from "../mutate.ts";
import { mutateMessage, randomMessage } from "../mutate-protobuf.ts";
import { Random } from "../random.ts";
import type { Method } from "../services.ts";
import { allMethods } from "../services.ts";
import type { OpenTarget, Target } from "../target.ts";
import { ensure, Violation } from "../target.ts";

const answerTime = 20_000;
const alive = "/containerd.services.version.v1.Version/Version";
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
/** Descriptors more than at first that are no leak yet: connections that are just closed, files of the database. */
const spareDescriptors = 40;

/** Length of the head of an input: a number of a method, and what to do. */
const headLength = 3;

async function openGrpc(): Promise<OpenTarget> {
  const daemon = await startCtrd();
  const methods = await allMethods();
  let session = openSession(daemon.address);
  await ask(session, alive, Buffer.alloc(0));
  const before = descriptorsOf(daemon.pid);
  const { pid } = daemon;
  return {
    run: async (input) => {
      if (session.closed || session.destroyed) session = openSession(daemon.address);
      const method = methods[input.readUInt16BE(0) % methods.length] as Method;
      await give(session, daemon.address, method, input);
      ensure(daemon.pid === pid && isRunning(pid), () => `the daemon has ended\n${daemon.logs().slice(-2_000)}`);
    },
    close: async () => {
      try {
        await ask(session, alive, Buffer.alloc(0));
        session.close();
        await checkDescriptors(pid, before);
        const unhandled = /unhandled\w*/i.exec(daemon.logs());
        ensure(unhandled === null, () => `the log has "${unhandled?.[0]}"`);
      } finally {
        session.destroy();
        await daemon[Symbol.asyncDispose]();
      }
    },
  };
}

async function give(session: ClientHttp2Session, address: string, method: Method, input: Buffer): Promise<void> {
  const body = input.subarray(headLength);
  const way = input[2] ?? 0;
  if (way % 16 === 0) return sendRaw(address, body);
  if (way % 16 === 1 || !method.unary) return sendHalf(session, method.path, body, way);
  const status = await ask(session, method.path, body);
  ensure(/^\d{1,2}$/.test(status), () => `${method.path} answers with the status "${status}"`);
}

function openSession(address: string): ClientHttp2Session {
  const session = http2.connect("http://localhost", { createConnection: () => connect(address) });
  session.on("error", () => {});
  return session;
}

function request(session: ClientHttp2Session, path: string): ClientHttp2Stream {
  return session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    "containerd-namespace": "fuzz",
    "grpc-timeout": "5S",
  });
}

function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Asks once. @returns the status of the answer */
async function ask(session: ClientHttp2Session, path: string, message: Buffer): Promise<string> {
  const stream = request(session, path);
  let status = "";
  const take = (headers: Record<string, unknown>): void => void (status = String(headers["grpc-status"] ?? status));
  stream
    .on("response", take)
    .on("trailers", take)
    .on("error", () => {})
    .resume();
  const closed = new Promise<string>((resolve) => stream.once("close", () => resolve(status)));
  stream.end(framed(message));
  const timer = new AbortController();
  const late = wait(answerTime, undefined, { signal: timer.signal }).catch(() => undefined);
  const answer = await Promise.race([closed, late]);
  timer.abort();
  if (answer === undefined) throw new Violation(`${path} does not answer in ${answerTime} ms`);
  return answer;
}

/** Sends a part of a request, waits a little, and ends or cancels it. */
async function sendHalf(session: ClientHttp2Session, path: string, message: Buffer, way: number): Promise<void> {
  const stream = request(session, path);
  const closed = new Promise((resolve) => stream.once("close", resolve));
  stream.on("error", () => {}).resume();
  const bytes = framed(message);
  stream.write(bytes.subarray(0, way % 3 === 0 ? Math.floor(bytes.length / 2) : bytes.length));
  if (way % 2 === 0) stream.end();
  await wait(5);
  stream.close(http2.constants.NGHTTP2_CANCEL);
  await closed;
}

/** Sends frames that are none. */
async function sendRaw(address: string, bytes: Buffer): Promise<void> {
  const socket = connect(address);
  socket.on("error", () => {}).resume();
  const closed = new Promise((resolve) => socket.once("close", resolve));
  // An empty SETTINGS frame, as the protocol wants it first.
  socket.write(Buffer.concat([preface, Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])]));
  socket.write(bytes);
  await wait(5);
  socket.destroy();
  await closed;
}

function isRunning(pid: number): boolean {
  return readdirSync(`/proc/${pid}`).length > 0;
}

function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

async function checkDescriptors(pid: number, before: number): Promise<void> {
  const end = Date.now() + answerTime;
  while (descriptorsOf(pid) > before + spareDescriptors && Date.now() < end) await wait(100);
  const after = descriptorsOf(pid);
  ensure(after <= before + spareDescriptors, () => `${after} descriptors are open, ${before} were at first`);
}

/** A message to each of the first methods, whatever they are, and frames of HTTP/2. */
function seeds(): Buffer[] {
  const random = new Random(1);
  const frame = (type: number, flags: number, id: number, payload: Buffer): Buffer =>
    Buffer.concat([Buffer.from([0, 0, payload.length, type, flags, 0, 0, 0, id]), payload]);
  const frames = [
    frame(1, 4, 1, Buffer.from([0x83, 0x86, 0x84])),
    frame(0, 1, 1, Buffer.from("abc")),
    frame(3, 0, 1, Buffer.alloc(4)),
    frame(6, 0, 0, Buffer.alloc(8)),
    frame(7, 0, 0, Buffer.alloc(8)),
    frame(8, 0, 0, Buffer.from([0, 0, 0, 1])),
    frame(9, 4, 1, Buffer.from([0xff])),
    frame(4, 0, 0, Buffer.from([0, 4, 0xff, 0xff, 0xff, 0xff])),
  ];
  const raw = frames.map((bytes) => Buffer.concat([Buffer.from([0, 0, 0]), bytes]));
  const messages = Array.from({ length: 40 }, (_, index) =>
    Buffer.concat([Buffer.from([0, index * 5, 3]), randomMessage(random)]),
  );
  return [...raw, ...messages];
}

export const grpcTargets: readonly Target[] = [
  {
    name: "grpc",
    seeds,
    mutate: (random, input, corpus) => {
      const head = Buffer.from([0, random.next() & 0xff, random.next() & 0xff]);
      const body = input.subarray(headLength);
      const isRaw = (head[2] ?? 0) % 16 === 0;
      const other = corpus.map((one) => one.subarray(headLength));
      return Buffer.concat([head, isRaw ? mutateBytes(random, body, other) : mutateMessage(random, body, other)]);
    },
    limit: answerTime,
    open: openGrpc,
  },
];
