import { connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Response } from "@ctrd/api/ttrpc/request";
import { KeyValue as KeyValueCodec } from "@ctrd/api/ttrpc/request";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { demo, Demo, kindOfRejection, kv, nothing, RawPeer, useDemoServer, withClient } from "../test/demo-service.ts";
import { TtrpcClient } from "./client.ts";
import { FrameFlag, FrameType, maxFrameLength, writeFrameHeader } from "./frame.ts";

useDemoServer();

const invalid = 3;

describe("server against raw frames", () => {
  let peer: RawPeer;
  beforeEach(async () => {
    const socket = connect({ path: demo.path });
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
    demo.sumGate = new Promise((resolve) => (release = resolve));
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

  it("ends an OK demo.server stream with a closed, empty data frame", async () => {
    peer.request(1, "Count", KeyValueCodec.encode(kv("1")).finish(), FrameFlag.remoteClosed);
    expect(await peer.next()).toMatchObject({ type: FrameType.data, flags: 0 });
    expect(await peer.next()).toMatchObject({ type: FrameType.data, flags: 0x05 });
  });

  it("aborts handlers when the peer vanishes in the middle of a frame", async () => {
    peer.request(1, "Hang", nothing);
    await expect.poll(() => demo.lastCall !== undefined).toBe(true);
    peer.socket.write(Buffer.from([0, 0, 1, 0, 0, 0]));
    peer.socket.destroy();
    await expect.poll(() => demo.lastCall?.signal.aborted).toBe(true);
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
    await new Promise<void>((resolve) => listener.listen(join(demo.dir, "raw"), resolve));
    const client = await TtrpcClient.connect(join(demo.dir, "raw"));
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

  it("fails a call whose answer is malformed and lives on", () =>
    withRawServer(async (client, peer) => {
      const message = Response.encode({ status: undefined, payload: Buffer.from([0x0a, 0xff]) }).finish();
      for (const [index, answer] of [Buffer.from([0x12, 0xff, 0xff]), Buffer.from([7]), message].entries()) {
        const call = client.call(Demo, "echo", kv("a"));
        await expect.poll(() => peer.frames.length).toBe(index + 1);
        peer.send(1 + 2 * index, FrameType.response, 0, answer);
        expect(await kindOfRejection(call)).toMatch(/^internal: .*malformed answer/);
      }
      const stream = client.serverStream(Demo, "count", kv("9"));
      await expect.poll(() => peer.frames.length).toBe(4);
      peer.send(7, FrameType.data, 0, Buffer.from([0x0a, 0xff]));
      expect(await kindOfRejection(stream.next())).toMatch(/^internal: .*malformed answer/);
    }));

  it("fails a demo.server stream that nobody reads for a second", () =>
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
