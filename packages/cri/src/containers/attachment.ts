/** One client that is attached to a container: bounded in memory, and for how long it holds others up. */
import type { Writable } from "node:stream";

/** Most bytes that wait for a client, and how long it may take none of them. */
const maxWaiting = 1 << 20;
const stallMs = 5_000;

/** Output on its way to one client. */
export class Attachment {
  readonly #streams: { readonly stdout?: Writable; readonly stderr?: Writable };
  readonly #end = Promise.withResolvers<void>();
  #isOver = false;

  constructor(streams: { stdout?: Writable; stderr?: Writable }) {
    this.#streams = streams;
    for (const stream of [streams.stdout, streams.stderr]) {
      stream?.on("error", () => this.end());
      stream?.on("close", () => this.end());
    }
  }

  /** Resolves when nothing more is written. */
  get ended(): Promise<void> {
    return this.#end.promise;
  }

  /** Writes nothing more. */
  end(): void {
    this.#isOver = true;
    this.#end.resolve();
  }

  /** Hands output on. A client that takes nothing for a while is left behind. */
  async write(name: "stdout" | "stderr", chunk: Buffer): Promise<void> {
    const stream = this.#streams[name];
    if (stream === undefined || this.#isOver) return;
    stream.write(chunk);
    while (!this.#isOver && stream.writableLength > maxWaiting) {
      const before = stream.writableLength;
      await Promise.race([taken(stream), this.#end.promise]);
      if (stream.writableLength < before) continue;
      stream.destroy(new Error(`the client takes no output for ${stallMs / 1000} s`));
      this.end();
    }
  }
}

/** Resolves when the stream takes more, is closed, or has taken nothing for too long. */
function taken(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      stream.off("drain", done).off("close", done);
      resolve();
    };
    const timer = setTimeout(done, stallMs);
    stream.on("drain", done).on("close", done);
  });
}
