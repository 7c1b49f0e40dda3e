/**
 * One of several byte streams that share a connection.
 *
 * @module
 */
import { Duplex } from "node:stream";

/** Called once with nothing, or with why it failed. */
export type Done = (error?: Error | null) => void;

/** The connection below a channel. */
export interface ChannelTransport {
  /** Sends bytes; `done` is called when they have left, which is what holds a fast writer back. */
  send(channel: ChannelStream, chunk: Buffer, done: Done): void;
  /** Tells the peer that no more bytes come. */
  sendEnd(channel: ChannelStream, done: Done): void;
  /** The channel is over; `clean` when both directions had ended. */
  channelClosed(channel: ChannelStream, clean: boolean): void;
}

/** How often a client is probed that is not read. */
const probeMs = 2_000;

/**
 * Several reasons to stop reading a connection: it is read while there is none. That a client has gone is not seen while
 * its connection is not read, so it is probed: writing to one that has gone fails.
 */
export class ReadGate {
  readonly #reasons = new Set<string>();
  readonly #connection: { pause(): void; resume(): void };
  readonly #probe: () => void;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** @param probe sends the client something that it answers, or ignores */
  constructor(connection: { pause(): void; resume(): void }, probe: () => void) {
    this.#connection = connection;
    this.#probe = probe;
  }

  /** Stops, or goes on unless there is another reason. */
  set(reason: string, stop: boolean): void {
    if (this.#closed || stop === this.#reasons.has(reason)) return;
    if (stop) this.#reasons.add(reason);
    else this.#reasons.delete(reason);
    if (this.#reasons.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      this.#connection.resume();
    } else if (stop) {
      this.#timer ??= setInterval(this.#probe, probeMs);
      this.#connection.pause();
    }
  }

  /** The connection is over; whoever ends it reads what is left. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
  }
}

/** What a chunk costs besides its bytes, so that many tiny ones are counted as what they take. */
const chunkCost = 256;

/**
 * Counts bytes that were received and wait for their readers, over all channels of a connection. Neither protocol gives
 * a receiver a way to slow one channel alone down: above the limit the whole connection stands until somebody reads.
 */
export class ReceiveBudget {
  readonly #gate: ReadGate;
  readonly #limit: number;
  #held = 0;

  constructor(gate: ReadGate, limit: number = 1 << 20) {
    this.#gate = gate;
    this.#limit = limit;
  }

  hold(chunk: Buffer): void {
    this.#held += chunk.length + chunkCost;
    if (this.#held > this.#limit) this.#gate.set("unread bytes", true);
  }

  release(chunk: Buffer): void {
    this.#held -= chunk.length + chunkCost;
    if (this.#held <= this.#limit / 2) this.#gate.set("unread bytes", false);
  }
}

/** A channel: a Duplex whose peer is the other end's stream of the same number. */
export class ChannelStream extends Duplex {
  readonly id: number;
  /** Whether a lost connection is an end to the reader and no error: so for a process's stdin. */
  endsWhenLost = false;
  readonly #transport: ChannelTransport;
  readonly #budget: ReceiveBudget;
  readonly #waiting: Buffer[] = [];
  #wanted = false;
  #peerEnded = false;
  #endPushed = false;

  constructor(id: number, transport: ChannelTransport, budget: ReceiveBudget) {
    super({ readableHighWaterMark: 64 * 1024, writableHighWaterMark: 64 * 1024 });
    this.id = id;
    this.#transport = transport;
    this.#budget = budget;
    // Whoever uses the channel listens too; a channel that nobody uses yet must not end the daemon.
    this.on("error", () => {});
  }

  /** Takes bytes from the connection. */
  deliver(chunk: Buffer): void {
    if (this.destroyed || this.#peerEnded || chunk.length === 0) return;
    if (this.#wanted) {
      this.#wanted = this.push(chunk);
      return;
    }
    this.#waiting.push(chunk);
    this.#budget.hold(chunk);
  }

  /** The peer sends no more. */
  deliverEnd(): void {
    this.#peerEnded = true;
    this.#pushEnd();
  }

  /** The connection is gone. */
  lose(error: Error): void {
    if (!this.endsWhenLost) {
      this.destroy(error);
      return;
    }
    this.deliverEnd();
    this.end();
  }

  override _read(): void {
    this.#wanted = true;
    while (this.#wanted) {
      const chunk = this.#waiting.shift();
      if (chunk === undefined) break;
      this.#budget.release(chunk);
      this.#wanted = this.push(chunk);
    }
    this.#pushEnd();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#transport.send(this, chunk, done);
  }

  override _final(done: Done): void {
    this.#transport.sendEnd(this, done);
  }

  override _destroy(error: Error | null, done: Done): void {
    for (const chunk of this.#waiting.splice(0)) this.#budget.release(chunk);
    this.#transport.channelClosed(this, this.#peerEnded && this.writableFinished);
    done(error);
  }

  #pushEnd(): void {
    if (!this.#peerEnded || this.#endPushed || this.#waiting.length > 0 || this.destroyed) return;
    this.#endPushed = true;
    this.push(null);
  }
}
