/**
 * An open ingest.
 *
 * @module
 */
import { rm } from "node:fs/promises";
import type { CommitOptions, ContentWriter, IngestStatus } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import type { DigestAlgorithm } from "@ctrd/core/digests";
import {
  alreadyExists,
  canceled,
  diskError,
  errnoOf,
  failedPrecondition,
  invalidArgument,
  isKind,
  notFound,
} from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import { now } from "@ctrd/core/records";
import type { Blobs } from "./blobs.ts";
import type { HashThread } from "./hash-thread.ts";
import type { OpenIngest } from "./ingests.ts";
import { writeUpdatedAt } from "./ingests.ts";
import { RunningDigest } from "./running-digest.ts";

/** Large writes are cut to this size, so that the hashing thread works on one piece while the next is written. */
const pieceSize = 512 * 1024;

/** What a writer needs of its store. */
export interface WriterParts {
  ingest: OpenIngest;
  expected: string;
  blobs: Blobs;
  thread: HashThread;
  /** Runs once, when the writer is closed. */
  onClose(): void;
}

/** The writer of one ingest. Operations run one after another, in the order of the calls. */
export class LocalWriter implements ContentWriter {
  readonly #parts: WriterParts;
  readonly #digest: RunningDigest;
  readonly #status: IngestStatus;
  #offset: number;
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(parts: WriterParts) {
    this.#parts = parts;
    this.#status = { ...parts.ingest.status, expected: parts.expected };
    this.#offset = Number(parts.ingest.status.offset);
    this.#digest = new RunningDigest(parts.thread, parts.ingest.file.fd);
    if (this.#offset > 0) this.#digest.restart(this.#offset);
  }

  status(): IngestStatus {
    return { ...this.#status, offset: BigInt(this.#offset) };
  }

  write(data: Uint8Array): Promise<void> {
    return this.#inTurn("write", async () => {
      for (let at = 0; at < data.length; at += pieceSize) {
        const piece = data.subarray(at, at + pieceSize);
        await this.#writePiece(piece);
        this.#offset += piece.length;
        this.#digest.append(piece, this.#offset);
      }
      this.#status.updatedAt = now();
    });
  }

  truncate(size: bigint): Promise<void> {
    return this.#inTurn("truncate", async () => {
      if (size < 0n || size > BigInt(this.#offset)) {
        throw invalidArgument(`truncate ${this.#name} to ${size} bytes: it has ${this.#offset}`);
      }
      await this.#parts.ingest.file.truncate(Number(size));
      this.#offset = Number(size);
      this.#digest.restart(this.#offset);
      this.#status.updatedAt = now();
    });
  }

  digest(): Promise<string> {
    return this.#inTurn("hash", () => this.#digest.digest());
  }

  commit(ctx: CallContext, options: CommitOptions = {}): Promise<void> {
    return this.#inTurn("commit", async () => {
      let committed = false;
      try {
        if (ctx.signal.aborted) throw canceled(`commit ${this.#name}`, { cause: ctx.signal.reason });
        const digest = await this.#checkedDigest(options);
        await this.#publish(digest);
        committed = true;
      } finally {
        await this.#end(!committed);
      }
    });
  }

  /** Closes, keeping the bytes. Closing again does nothing. */
  close(): Promise<void> {
    const closing = this.#last.then(async () => {
      if (!this.#closed) await this.#end(true);
    });
    this.#last = closing.catch(() => {});
    return closing;
  }

  get #name(): string {
    return `ingest "${this.#status.ref}"`;
  }

  #inTurn<T>(operation: string, run: () => Promise<T>): Promise<T> {
    const result = this.#last.then(() => {
      if (this.#closed) throw failedPrecondition(`${operation} ${this.#name}: the writer is closed`);
      return run();
    });
    // The caller gets the error; the next operation starts all the same.
    this.#last = result.catch(() => {});
    return result;
  }

  async #writePiece(piece: Uint8Array): Promise<void> {
    const { file } = this.#parts.ingest;
    try {
      FAILPOINT: if (failpoints.on) await failpoints.at("content.write");
      for (let done = 0; done < piece.length;) {
        const { bytesWritten } = await file.write(piece, done, piece.length - done, this.#offset + done);
        done += bytesWritten;
      }
    } catch (error) {
      // What a full disk took of this piece must not be there for the next opener, whose hash would include it.
      await file.truncate(this.#offset);
      throw diskError(`write ${this.#name}`, error);
    }
  }

  async #checkedDigest({ size = 0n, expected = "" }: CommitOptions): Promise<string> {
    if (size > 0n && size !== BigInt(this.#offset)) {
      throw failedPrecondition(`commit ${this.#name}: unexpected size ${this.#offset}, expected ${size}`);
    }
    if (expected !== "" && !expected.includes(":")) {
      throw invalidArgument(`commit ${this.#name}: expected digest "${expected}" has no algorithm`);
    }
    const algorithm = expected.slice(0, expected.indexOf(":"));
    const actual =
      algorithm === "sha384" || algorithm === "sha512" ? await this.#rehash(algorithm) : await this.#digest.digest();
    if (expected !== "" && actual !== expected) {
      throw failedPrecondition(`commit ${this.#name}: unexpected digest ${actual}, expected ${expected}`);
    }
    return actual;
  }

  async #rehash(algorithm: DigestAlgorithm): Promise<string> {
    const followed = this.#parts.thread.follow(this.#parts.ingest.file.fd, algorithm);
    try {
      followed.advance(this.#offset);
      return `${algorithm}:${await followed.digest()}`;
    } finally {
      await followed.release();
    }
  }

  /** Puts the blob in place, and removes the ingest when it is there now or was before. */
  async #publish(digest: string): Promise<void> {
    const { ingest, blobs } = this.#parts;
    const removeIngest = (): Promise<void> => rm(ingest.directory, { recursive: true, force: true });
    try {
      await blobs.publish(ingest.file, ingest.data, digest);
    } catch (error) {
      if (isKind(error, "already-exists")) {
        await removeIngest();
        throw alreadyExists(`commit ${this.#name}: content ${digest}`, { cause: error });
      }
      if (errnoOf(error) === "ENOENT") {
        throw notFound(`commit ${this.#name}: it was aborted`, { cause: error });
      }
      throw diskError(`commit ${this.#name}`, error);
    }
    FAILPOINT: if (failpoints.on) await failpoints.at("content.published");
    await removeIngest();
  }

  async #end(kept: boolean): Promise<void> {
    this.#closed = true;
    const { ingest, onClose } = this.#parts;
    try {
      try {
        await this.#digest.release();
      } finally {
        await ingest.file.close();
      }
      if (kept && this.#status.updatedAt !== undefined) await writeUpdatedAt(ingest.directory, this.#status.updatedAt);
    } finally {
      onClose();
    }
  }
}
