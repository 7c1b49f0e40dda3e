/**
 * The digest of a growing file: in this thread while the file is small, in the hashing thread from then on.
 *
 * @module
 */
import type { Hash } from "node:crypto";
import { createHash } from "node:crypto";
import { messageOf, unknownError } from "@ctrd/core/errors";
import type { FollowedFile, HashThread } from "./hash-thread.ts";

/** Up to this many bytes are hashed in place: 0.15 ms at most, less than waking another thread twice. */
const inlineLimit = 256 * 1024;

/** sha256 of the first bytes of an open file, kept up to date. */
export class RunningDigest {
  readonly #thread: HashThread;
  readonly #fd: number;
  #inline: Hash | undefined = createHash("sha256");
  #followed: FollowedFile | undefined;

  /** @param fd stays open until {@link release} resolves */
  constructor(thread: HashThread, fd: number) {
    this.#thread = thread;
    this.#fd = fd;
  }

  /** Takes in `data`, which was written to the file and made it `size` bytes long. */
  append(data: Uint8Array, size: number): void {
    if (this.#inline !== undefined && size <= inlineLimit) this.#inline.update(data);
    else this.#follow().advance(size);
  }

  /** Starts again with the first `size` bytes of the file. */
  restart(size: number): void {
    if (size === 0 && this.#followed === undefined) {
      this.#inline = createHash("sha256");
      return;
    }
    const followed = this.#follow();
    followed.rewind();
    followed.advance(size);
  }

  /** `sha256:<hex>` of the bytes so far. */
  async digest(): Promise<string> {
    if (this.#inline !== undefined) return `sha256:${this.#inline.copy().digest("hex")}`;
    try {
      return `sha256:${await this.#follow().digest()}`;
    } catch (error) {
      throw unknownError(`hash content: ${messageOf(error)}`, { cause: error });
    }
  }

  /** Ends use of the file. */
  async release(): Promise<void> {
    await this.#followed?.release();
  }

  #follow(): FollowedFile {
    this.#inline = undefined;
    return (this.#followed ??= this.#thread.follow(this.#fd, "sha256"));
  }
}
