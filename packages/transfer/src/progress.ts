/**
 * Progress as containerd's clients show it: events on a stream, growing numbers at a tick.
 *
 * @module
 */
import { Progress } from "@ctrd/api/types/transfer/progress";
import type { CallContext } from "@ctrd/core/context";
import { messageOf } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import type { ServedBy, TransferProgress } from "@ctrd/core/remotes";
import type { NamedStream } from "@ctrd/core/streaming";
import { protoAny } from "@ctrd/core/typeurl";
import type { ImageHandlerWrapper } from "@ctrd/images";
import { contentName } from "@ctrd/images";

/** Milliseconds between two reports of the same content. */
const tickMs = 300;
/** With more messages than this that the client has not taken, growing numbers are left out. */
const maxPending = 200;
/** How long the client has for the last messages. */
const endMs = 5_000;

interface Known {
  descriptor: Descriptor;
  parents: readonly string[];
  event: string;
  offset: bigint;
  served: ServedBy | undefined;
  /** Something happened since the last report. */
  changed: boolean;
}

/** Reports to one stream; without a stream it does nothing. */
export class ProgressReporter {
  readonly #ctx: CallContext;
  readonly #stream: NamedStream | undefined;
  readonly #parents: Map<string, string[]> = new Map();
  readonly #contents: Map<string, Known> = new Map();
  /** One message follows the other. */
  #last: Promise<void> = Promise.resolve();
  #pending = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(ctx: CallContext, stream: NamedStream | undefined) {
    this.#ctx = ctx;
    this.#stream = stream;
    if (stream !== undefined) this.#timer = setInterval(() => this.#tick(), tickMs).unref();
  }

  /** A sentence about the whole. */
  say(event: string, name = "", descriptor?: Descriptor): void {
    this.#send({ ...message, event, name, desc: descriptor });
  }

  /** Learns which content belongs to which. */
  wrapper(root: string): ImageHandlerWrapper {
    return (handler) => async (ctx, descriptor) => {
      const name = contentName(descriptor);
      if (!this.#parents.has(name)) this.#parents.set(name, [root]);
      const children = await handler(ctx, descriptor);
      for (const child of children) {
        const known = this.#parents.get(contentName(child)) ?? [];
        if (!known.includes(name)) this.#parents.set(contentName(child), [...known, name]);
      }
      return children;
    };
  }

  /** Takes what pulls and pushes tell. */
  readonly listener = ({ stage, name, descriptor, offset, served }: TransferProgress): void => {
    if (descriptor === undefined || this.#stream === undefined) return;
    const event = events[stage];
    if (stage === "saved") return this.say("saved", name, descriptor);
    if (event === undefined) return;
    const parents = this.#parents.get(name) ?? [];
    const known = this.#contents.get(name);
    // How much of a layer is extracted nobody tells; that it is under way is told at every tick.
    const begun = event === "waiting" || event === "extracting" ? 0n : descriptor.size;
    const now: Known = { descriptor, parents, event, offset: offset ?? begun, served, changed: event !== "waiting" };
    if (known === undefined && event !== "already exists") {
      this.#report(name, { ...now, event: "waiting", offset: 0n });
    }
    // It was complete before it is extracted, also between two ticks.
    if (known?.changed === true && known.event === "complete" && event !== "complete") this.#flush(name, known);
    this.#contents.set(name, now);
    if (event === "already exists") this.#flush(name, { ...now, parents: [] });
  };

  /** Reports what is left and ends the stream. A client that does not read it is not waited for without end. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    this.#tick();
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, endMs);
    const leave = (): void => resolve();
    this.#ctx.signal.addEventListener("abort", leave, { once: true });
    if (this.#ctx.signal.aborted) resolve();
    await Promise.race([this.#last, late]);
    clearTimeout(timer);
    this.#ctx.signal.removeEventListener("abort", leave);
    this.#stream?.close();
  }

  #tick(): void {
    if (this.#pending > maxPending) return;
    for (const [name, known] of this.#contents) {
      if (known.changed || known.event === "extracting") this.#flush(name, known);
    }
  }

  #flush(name: string, known: Known): void {
    this.#contents.set(name, { ...known, changed: false });
    this.#report(name, known);
  }

  #report(name: string, { descriptor, parents, event, offset, served }: Known): void {
    this.#send({
      ...{ event, name, parents: [...parents], progress: offset, total: descriptor.size, desc: descriptor },
      servedBy: served?.host ?? "",
      attempts: served?.attempts.map(({ host, error }) => `${host}: ${error}`) ?? [],
    });
  }

  #send(progress: Progress): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    this.#pending++;
    const message = protoAny("containerd.types.transfer.Progress", Progress.encode(progress).finish());
    this.#last = this.#last
      .then(() => stream.send(message))
      .catch((error: unknown) => {
        // Whoever does not listen any more does not stop the transfer.
        this.#ctx.log.debug({ err: messageOf(error) }, "progress not sent");
      })
      .finally(() => this.#pending--);
  }
}

const message: Progress = Progress.create();

/** containerd's words for stages of contents. */
const events: Partial<Record<TransferProgress["stage"], string>> = {
  waiting: "waiting",
  downloading: "downloading",
  uploading: "uploading",
  exists: "already exists",
  mounted: "already exists",
  complete: "complete",
  extracting: "extracting",
  extracted: "extracted",
};
