// Named streams over a real socket, as ctr opens them.
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { StreamInit, StreamingDefinition } from "@ctrd/api/services/streaming/v1/streaming";
import { Data, WindowUpdate } from "@ctrd/api/types/transfer/streaming";
import { createContext } from "@ctrd/core/context";
import type { StreamManager } from "@ctrd/core/streaming";
import { protoAny, typeName } from "@ctrd/core/typeurl";
import type { RpcChannel, ServedSocket } from "@ctrd/services";
import { openChannel, serveOnSocket } from "@ctrd/services";
import type { TempDir } from "@ctrd/testkit/fixtures";
import { tempDir } from "@ctrd/testkit/fixtures";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readBytes, writeBytes } from "./byte-streams.ts";
import { createStreamManager, serveStreaming } from "./streams.ts";

const ctx = createContext({ namespace: "test" });
let directory: TempDir;
let server: ServedSocket;
let channel: RpcChannel;
let manager: StreamManager;

beforeEach(async () => {
  directory = await tempDir("streams-");
  manager = createStreamManager();
  server = await serveOnSocket(join(directory.path, "s.sock"), [serveStreaming(manager)]);
  channel = openChannel(server.path);
});
afterEach(async () => {
  channel.close();
  await server.stop();
  await directory[Symbol.asyncDispose]();
});

async function open(id: string) {
  const call = channel.client(StreamingDefinition).stream(ctx);
  await call.send(protoAny("containerd.services.streaming.v1.StreamInit", StreamInit.encode({ id }).finish()));
  return { call, first: await call.receive() };
}

describe("streams", () => {
  it("are registered before the client hears of it, under their namespace, once", async () => {
    const { first, call } = await open("one");
    expect(first?.typeUrl).toBe("google.protobuf.Empty");
    const stream = manager.get(ctx, "one");
    expect(() => manager.get(createContext({ namespace: "other" }), "one")).toThrow('stream "one"');
    await expect(open("one")).rejects.toMatchObject({ kind: "already-exists" });
    stream.close();
    expect(await call.receive()).toBeUndefined();
    expect(() => manager.get(ctx, "one")).toThrow("open it before");
  });

  it("refuse another first message", async () => {
    const call = channel.client(StreamingDefinition).stream(ctx);
    await call.send(protoAny("containerd.types.transfer.Data", new Uint8Array()));
    await expect(call.receive()).rejects.toMatchObject({ kind: "invalid-argument" });
  });
});

describe("byte streams", () => {
  const bytes = randomBytes(1 << 20);

  it("read what the client sends, granting 64 KiB at a time", async () => {
    const { call } = await open("in");
    const reading = (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of readBytes(manager.get(ctx, "in"), ctx.signal)) chunks.push(Buffer.from(chunk));
      return Buffer.concat(chunks);
    })();
    let credit = 0;
    for (let at = 0; at < bytes.length;) {
      while (credit === 0) {
        const update = await call.receive();
        expect(typeName(update?.typeUrl ?? "")).toBe("containerd.types.transfer.WindowUpdate");
        credit += WindowUpdate.decode(update?.value ?? new Uint8Array()).update;
        expect(credit).toBeLessThanOrEqual(128 << 10);
      }
      const data = bytes.subarray(at, at + Math.min(credit, 32 << 10));
      await call.send(protoAny("containerd.types.transfer.Data", Data.encode({ data }).finish()));
      at += data.length;
      credit -= data.length;
    }
    call.end();
    expect((await reading).equals(bytes)).toBe(true);
  });

  it("write no more than the client grants, and notice when it leaves", async () => {
    const { call } = await open("out");
    const stream = manager.get(ctx, "out");
    const source = async function* (): AsyncGenerator<Buffer> {
      yield bytes;
    };
    const writing = writeBytes(stream, source(), ctx.signal);
    const received: Buffer[] = [];
    let length = 0;
    while (length < 200_000) {
      await call.send(
        protoAny("containerd.types.transfer.WindowUpdate", WindowUpdate.encode({ update: 50_000 }).finish()),
      );
      for (let granted = 50_000; granted > 0;) {
        const { data } = Data.decode((await call.receive())?.value ?? new Uint8Array());
        expect(data.length).toBeLessThanOrEqual(Math.min(granted, 32 << 10));
        granted -= data.length;
        length += data.length;
        received.push(Buffer.from(data));
      }
    }
    expect(Buffer.concat(received).equals(bytes.subarray(0, length))).toBe(true);
    call.end();
    await expect(writing).rejects.toMatchObject({ kind: "aborted" });
    stream.close();
  });

  it("are left at once by a call that is canceled, though the stream stays open", async () => {
    await open("stays");
    const stream = manager.get(ctx, "stays");
    const abort = new AbortController();
    const reading = readBytes(stream, abort.signal).next();
    const source = async function* (): AsyncGenerator<Buffer> {
      yield bytes;
    };
    const writing = writeBytes(stream, source(), abort.signal);
    const began = performance.now();
    setTimeout(() => abort.abort(), 50);
    await expect(reading).rejects.toMatchObject({ name: "AbortError" });
    await expect(writing).rejects.toMatchObject({ name: "AbortError" });
    expect(performance.now() - began).toBeLessThan(1_000);
    stream.close();
  });
});
