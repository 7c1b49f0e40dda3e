/**
 * Uploads: one PUT, whose body is what is written.
 *
 * @module
 */
import { PassThrough } from "node:stream";
import type { CallContext } from "@ctrd/core/context";
import { withSignal } from "@ctrd/core/context";
import { canceled, ContainerdError, failedPrecondition, kindOf, messageOf } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import type { PushWriter } from "@ctrd/core/remotes";
import type { ApiResponse } from "./answers.ts";
import { describeFailure, drop, headerOf } from "./answers.ts";
import type { RegistryHost } from "./hosts.ts";
import { askHost } from "./requests.ts";
import type { ApiRequest } from "./send.ts";
import { originOf } from "./send.ts";

/** Where an upload goes. */
export interface UploadTarget {
  path: string | URL;
  query: Readonly<Record<string, string>>;
  type: string;
}

const bufferedBytes = 1 << 20;

/** An upload under way. A refusal is told as soon as the registry gives it. */
export class Upload implements PushWriter {
  readonly host: string;
  readonly #body = new PassThrough({ highWaterMark: bufferedBytes });
  readonly #abort = new AbortController();
  readonly #descriptor: Descriptor;
  readonly #action: string;
  readonly #answer: Promise<ApiResponse>;
  readonly #release: () => void;
  #outcome: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #written = 0n;

  constructor(
    ctx: CallContext,
    host: RegistryHost,
    request: ApiRequest,
    target: UploadTarget,
    descriptor: Descriptor,
    more: { userAgent: string; release: () => void },
  ) {
    this.host = host.host;
    this.#descriptor = descriptor;
    this.#action = request.action;
    this.#release = more.release;
    // What fails the body fails the request, whose answer is waited for.
    this.#body.on("error", () => {});
    for (const event of ["drain", "close"]) this.#body.on(event, () => this.#wake?.());
    const headers = { "content-type": target.type, "content-length": String(descriptor.size) };
    // Credentials are for the registry alone, which may send the upload elsewhere, and not for a plain connection.
    const elsewhere = target.path instanceof URL && target.path.origin !== originOf(host);
    const upload = elsewhere ? { ...host, authorizer: undefined, headers: {} } : host;
    const ask = { ...request, query: target.query, headers, body: this.#body };
    this.#answer = askHost(withSignal(ctx, this.#abort.signal), upload, ask, more.userAgent, false);
    const stop = (): void => void this.#body.destroy();
    // Whatever it is, an answer ends the writing.
    this.#answer.then(stop, stop);
  }

  async write(data: Uint8Array): Promise<void> {
    this.#written += BigInt(data.length);
    if (this.#written > this.#descriptor.size) {
      throw failedPrecondition(`${this.#action}: more than its ${this.#descriptor.size} bytes`);
    }
    // A copy: the caller may reuse its memory.
    if (!this.#body.destroyed && !this.#body.write(Buffer.from(data))) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    if (this.#body.destroyed) await this.#settled();
  }

  async commit(): Promise<void> {
    try {
      if (!this.#body.destroyed && this.#written !== this.#descriptor.size) {
        throw failedPrecondition(`${this.#action}: ${this.#written} of ${this.#descriptor.size} bytes were written`);
      }
      this.#body.end();
      await this.#settled();
    } finally {
      await this.close();
    }
  }

  async close(): Promise<void> {
    this.#release();
    if (!this.#body.writableEnded) this.#abort.abort(canceled(this.#action));
    // Whoever wrote or committed has heard of a failure.
    await this.#settled().catch(() => {});
  }

  /** Resolves when the registry has taken it. The answer is read once. */
  #settled(): Promise<void> {
    this.#outcome ??= this.#settle();
    return this.#outcome;
  }

  async #settle(): Promise<void> {
    let response: ApiResponse;
    try {
      response = await this.#answer;
    } catch (error) {
      if (error instanceof ContainerdError && error.kind === "canceled") throw error;
      const kind = kindOf(error) === "unknown" ? "unavailable" : kindOf(error);
      throw new ContainerdError(kind, `${this.#action} to ${this.host}: ${messageOf(error)}`, { cause: error });
    }
    if (![200, 201, 204].includes(response.status)) {
      const { kind, message } = await describeFailure(response);
      throw new ContainerdError(kind, `${this.#action} to ${this.host}: ${message}`);
    }
    const told = headerOf(response, "docker-content-digest");
    await drop(response);
    if (told !== "" && told !== this.#descriptor.digest) {
      throw failedPrecondition(`${this.#action}: ${this.host} has stored ${told}`);
    }
  }
}
