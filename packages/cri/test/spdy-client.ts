/**
 * A SPDY/3.1 client that does as it is told, also what no client should.
 *
 * @module
 */
import { once } from "node:events";
import { request } from "node:http";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { constants, createDeflate } from "node:zlib";
import { headerDictionary } from "../src/streaming/spdy/dictionary.ts";
import type { Frame } from "../src/streaming/spdy/frames.ts";
import { controlFrame, dataHeader, FrameParser, FrameType } from "../src/streaming/spdy/frames.ts";
import { HeaderReader } from "../src/streaming/spdy/header-blocks.ts";

/** The answer to a request for an upgrade: switched, or not. */
export type UpgradeAnswer =
  | { readonly kind: "switched"; readonly response: IncomingMessage; readonly socket: Socket; readonly head: Buffer }
  | { readonly kind: "refused"; readonly status: number; readonly headers: readonly string[]; readonly body: string };

/** Asks for an upgrade. */
export async function askUpgrade(
  url: string,
  headers: Record<string, string | string[]>,
  method = "POST",
): Promise<UpgradeAnswer> {
  const asking = request(url, { method, headers, agent: false });
  asking.end();
  const { promise, resolve, reject } = Promise.withResolvers<UpgradeAnswer>();
  asking.on("error", reject);
  asking.on("upgrade", (response, socket, head) =>
    resolve({ kind: "switched", response, socket: socket as Socket, head }),
  );
  asking.on("response", (response) => {
    void response.toArray().then((parts) =>
      resolve({
        kind: "refused",
        status: response.statusCode ?? 0,
        headers: response.rawHeaders,
        body: Buffer.concat(parts as Buffer[]).toString(),
      }),
    );
  });
  return promise;
}

/** Headers of a request for SPDY. */
export function spdyHeaders(...protocols: string[]): Record<string, string | string[]> {
  return { Connection: "Upgrade", Upgrade: "SPDY/3.1", "X-Stream-Protocol-Version": protocols };
}

/** A connection after the upgrade. */
export class SpdyClient {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  /** Bytes by stream. */
  readonly received = new Map<number, Buffer[]>();
  readonly ended = new Set<number>();
  readonly #parser = new FrameParser();
  readonly #deflate = createDeflate({ dictionary: headerDictionary, flush: constants.Z_SYNC_FLUSH });
  readonly #inflate = new HeaderReader();
  #nextId = 1;
  closed = false;

  constructor(socket: Socket, head: Buffer) {
    this.socket = socket;
    socket.on("error", () => {});
    socket.on("close", () => (this.closed = true));
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    if (head.length > 0) this.#receive(head);
  }

  /** Upgrades; the server must agree. */
  static async connect(url: string, protocol: string): Promise<SpdyClient> {
    const answer = await askUpgrade(url, spdyHeaders(protocol));
    if (answer.kind !== "switched") throw new Error(`refused: ${answer.status} ${answer.body}`);
    return new SpdyClient(answer.socket, answer.head);
  }

  /** Opens a stream without waiting for the answer. */
  async open(headers: Record<string, string>, options: { id?: number; fin?: boolean } = {}): Promise<number> {
    const id = options.id ?? this.#nextId;
    this.#nextId = Math.max(this.#nextId, id) + 2;
    const block = await this.compress(headers);
    const frame = controlFrame(FrameType.synStream, id, 0, Buffer.alloc(2), block);
    if (options.fin === true) frame.writeUInt8(1, 4);
    this.socket.write(frame);
    return id;
  }

  /** A header block, as the next one of this connection. */
  async compress(headers: Record<string, string>): Promise<Buffer> {
    const parts: Buffer[] = [uint32(Object.keys(headers).length)];
    for (const pair of Object.entries(headers))
      for (const text of pair) parts.push(uint32(text.length), Buffer.from(text));
    return this.compressBytes(Buffer.concat(parts));
  }

  async compressBytes(bytes: Buffer): Promise<Buffer> {
    const pieces: Buffer[] = [];
    const take = (piece: Buffer): void => void pieces.push(piece);
    this.#deflate.on("data", take);
    await new Promise<void>((resolve) => this.#deflate.write(bytes, () => this.#deflate.flush(() => resolve())));
    this.#deflate.off("data", take);
    return Buffer.concat(pieces);
  }

  send(id: number, text: string | Buffer, fin = false): void {
    const bytes = Buffer.from(text);
    this.socket.write(Buffer.concat([dataHeader(id, bytes.length, fin), bytes]));
  }

  /** What has come on a stream. */
  text(id: number): string {
    return Buffer.concat(this.received.get(id) ?? []).toString();
  }

  /** The last word of control frames of a type. */
  controls(type: number): Buffer[] {
    return this.frames.flatMap((frame) => (frame.kind === "control" && frame.type === type ? [frame.payload] : []));
  }

  /** Reads the headers of all replies, which must be well-formed. */
  async replyHeaders(): Promise<number[]> {
    const sizes: number[] = [];
    for (const payload of this.controls(FrameType.synReply))
      sizes.push((await this.#inflate.read(payload.subarray(4))).size);
    return sizes;
  }

  async until(what: string, condition: () => boolean): Promise<void> {
    const deadline = Date.now() + 20_000;
    while (!condition()) {
      if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
      await sleep(5);
    }
  }

  async gone(): Promise<void> {
    if (!this.closed) await once(this.socket, "close");
  }

  close(): void {
    this.socket.destroy();
    this.#deflate.destroy();
    this.#inflate.close();
  }

  #receive(chunk: Buffer): void {
    this.#parser.push(chunk);
    for (let frame = this.#parser.read(); frame !== undefined; frame = this.#parser.read()) {
      if (frame.kind === "control") this.frames.push(frame);
      else {
        const { streamId, last } = frame;
        const bytes = this.received.get(streamId) ?? [];
        this.received.set(streamId, [...bytes, frame.chunk]);
        if (last) this.ended.add(streamId);
      }
    }
  }
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
