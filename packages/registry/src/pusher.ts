/**
 * The pusher: uploads to one repository, or mounts from another one of the same host.
 *
 * @module
 */
import { PassThrough } from "node:stream";
import type { CallContext } from "@ctrd/core/context";
import { withSignal } from "@ctrd/core/context";
import {
  alreadyExists,
  canceled,
  ContainerdError,
  failedPrecondition,
  messageOf,
  unavailable,
} from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import type { Pusher, PushWriter } from "@ctrd/core/remotes";
import type { RegistryHost } from "./hosts.ts";
import { isManifestType } from "./media-types.ts";
import type { Reference } from "@ctrd/core/references";
import { formatReference } from "@ctrd/core/references";
import type { ApiRequest, ApiResponse } from "./requests.ts";
import { askHost, describeFailure, drop } from "./requests.ts";
import { pullScope, pushScope } from "./scopes.ts";

/** Annotation or label of content: repositories of a host that have it. */
const sourceLabel = "containerd.io/distribution.source.";

export class RegistryPusher implements Pusher {
  readonly #reference: Reference;
  readonly #host: RegistryHost | undefined;
  readonly #userAgent: string;
  /** Uploads under way: one for each name. */
  readonly #running: Set<string> = new Set();

  constructor(reference: Reference, hosts: readonly RegistryHost[], userAgent: string) {
    this.#reference = reference;
    this.#host = hosts.find(({ capabilities }) => capabilities.has("push"));
    this.#userAgent = userAgent;
  }

  async push(ctx: CallContext, descriptor: Descriptor): Promise<PushWriter> {
    const host = this.#host;
    const { digest } = descriptor;
    if (host === undefined) throw failedPrecondition(`push to ${this.#reference.host}: no host takes uploads`);
    if (this.#running.has(digest)) throw unavailable(`push ${digest}: it is being pushed already`);
    this.#running.add(digest);
    const release = (): void => void this.#running.delete(digest);
    try {
      const isManifest = isManifestType(descriptor.mediaType);
      const path = isManifest ? `manifests/${this.#manifestName(digest)}` : `blobs/${digest}`;
      if (await this.#isThere(ctx, host, path, descriptor)) {
        throw alreadyExists(`content ${digest} in ${host.host}/${this.#reference.repository}`);
      }
      const target = isManifest
        ? { path: this.#path(path), query: {}, type: descriptor.mediaType }
        : await this.#startUpload(ctx, host, descriptor);
      return new Upload(ctx, host, this.#request("PUT", target.path, `push ${digest}`), target, descriptor, {
        userAgent: this.#userAgent,
        release,
      });
    } catch (error) {
      release();
      throw error;
    }
  }

  /** The tag for the manifest that is pushed under it, the digest for all others. */
  #manifestName(digest: string): string {
    const { tag, digest: named } = this.#reference;
    return tag !== "" && (named === "" || named === digest) ? tag : digest;
  }

  async #isThere(ctx: CallContext, host: RegistryHost, path: string, descriptor: Descriptor): Promise<boolean> {
    const ask = {
      ...this.#request("HEAD", this.#path(path), `look for ${descriptor.digest}`),
      headers: { accept: `${descriptor.mediaType}, */*` },
    };
    let response: ApiResponse;
    try {
      response = await askHost(ctx, host, ask, this.#userAgent, true);
    } catch (error) {
      // Repositories that are made by the first push may not be looked into.
      if (error instanceof ContainerdError && ["unauthenticated", "permission-denied"].includes(error.kind))
        return false;
      throw error;
    }
    await drop(response);
    if (response.status === 200) {
      const told = response.headers["docker-content-digest"];
      return !path.startsWith("manifests/") || path.endsWith(descriptor.digest) || told === descriptor.digest;
    }
    if ([401, 403, 404].includes(response.status)) return false;
    throw unavailable(`look for ${descriptor.digest} in ${host.host}: HTTP status ${response.status}`);
  }

  /** Where a blob is to be put. @throws `already-exists` when it could be mounted */
  async #startUpload(ctx: CallContext, host: RegistryHost, descriptor: Descriptor): Promise<UploadTarget> {
    const from = mountSource(descriptor, this.#reference);
    const request = this.#request("POST", this.#path("blobs/uploads/"), `start the upload of ${descriptor.digest}`);
    let response: ApiResponse | undefined;
    if (from !== undefined) {
      const scopes = [pushScope(this.#reference.repository), pullScope(from)];
      const mount = { ...request, scopes, query: { mount: descriptor.digest, from } };
      response = await askHost(ctx, host, mount, this.#userAgent, true);
      // Not allowed to read the other repository: uploaded as if it were not known.
      if (response.status === 401 || response.status === 403) {
        await drop(response);
        response = undefined;
      }
    }
    response ??= await askHost(ctx, host, request, this.#userAgent, true);
    if (response.status === 201) {
      await drop(response);
      throw alreadyExists(`content ${descriptor.digest} mounted from ${from ?? "another repository"}`);
    }
    if (![200, 202, 204].includes(response.status)) {
      const { kind, message } = await describeFailure(response);
      throw new ContainerdError(kind, `${request.action} to ${host.host}: ${message}`);
    }
    await drop(response);
    const location = response.headers["location"];
    if (typeof location !== "string" || location === "") {
      throw unavailable(`${request.action}: ${host.host} does not say where to`);
    }
    const base = `${host.scheme}://${host.host}`;
    const path = new URL(/^[\w.-]+(?::\d+)?\//.test(location) ? `${host.scheme}://${location}` : location, base);
    return { path, query: { digest: descriptor.digest }, type: "application/octet-stream" };
  }

  #path(rest: string): string {
    return `/${this.#reference.repository}/${rest}`;
  }

  #request(method: ApiRequest["method"], path: string | URL, action: string): ApiRequest {
    const { repository, host: origin } = this.#reference;
    const where = formatReference({ ...this.#reference, digest: "" });
    return { method, path, scopes: [pushScope(repository)], origin, action: `${action} (${where})` };
  }
}

interface UploadTarget {
  path: string | URL;
  query: Readonly<Record<string, string>>;
  type: string;
}

/** One PUT, whose body is what is written. */
class Upload implements PushWriter {
  readonly host: string;
  readonly #body = new PassThrough({ highWaterMark: 1 << 20 });
  readonly #abort = new AbortController();
  readonly #descriptor: Descriptor;
  readonly #action: string;
  readonly #response: Promise<ApiResponse>;
  readonly #release: () => void;
  #failure: Error | undefined;
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
    this.#body.on("error", () => {});
    for (const event of ["drain", "close"]) this.#body.on(event, () => this.#wake?.());
    const headers = { "content-type": target.type, "content-length": String(descriptor.size) };
    // Credentials are for the registry alone, which may send the upload elsewhere.
    const elsewhere = target.path instanceof URL && target.path.host !== host.host;
    const upload = elsewhere ? { ...host, authorizer: undefined, headers: {} } : host;
    const ask = { ...request, query: target.query, headers, body: () => this.#body };
    this.#response = askHost(withSignal(ctx, this.#abort.signal), upload, ask, more.userAgent, false);
    this.#response.catch((error: unknown) => {
      this.#failure = error instanceof Error ? error : new Error(String(error));
      this.#body.destroy(this.#failure);
    });
    // An early refusal ends the writing.
    this.#response.then(
      ({ status }) => void (status >= 300 && this.#body.destroy(canceled(`${this.#action}: HTTP status ${status}`))),
      () => {},
    );
  }

  async write(data: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#written += BigInt(data.length);
    if (this.#written > this.#descriptor.size) {
      throw failedPrecondition(`${this.#action}: more than its ${this.#descriptor.size} bytes`);
    }
    if (this.#body.destroyed) return;
    // A copy: the caller may reuse its memory.
    if (!this.#body.write(Buffer.from(data))) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  async commit(): Promise<void> {
    try {
      if (!this.#body.destroyed && this.#written !== this.#descriptor.size) {
        throw failedPrecondition(`${this.#action}: ${this.#written} of ${this.#descriptor.size} bytes were written`);
      }
      this.#body.end();
      const response = await this.#response;
      if (![200, 201, 204].includes(response.status)) {
        const { kind, message } = await describeFailure(response);
        throw new ContainerdError(kind, `${this.#action} to ${this.host}: ${message}`);
      }
      const told = response.headers["docker-content-digest"];
      await drop(response);
      if (typeof told === "string" && told !== this.#descriptor.digest) {
        throw failedPrecondition(`${this.#action}: ${this.host} has stored ${told}`);
      }
    } finally {
      await this.close();
    }
  }

  async close(): Promise<void> {
    this.#release();
    if (!this.#body.writableEnded) this.#abort.abort(canceled(this.#action));
    try {
      await this.#response;
    } catch (error) {
      // Whoever wrote or committed has heard of it.
      this.#failure ??= new Error(messageOf(error));
    }
  }
}

/** The repository of the same host that has the content and whose path has most in common with the target's. */
function mountSource(descriptor: Descriptor, { host, repository }: Reference): string | undefined {
  const known = (descriptor.annotations.get(`${sourceLabel}${host}`) ?? "").split(",").filter((name) => name !== "");
  const target = repository.split("/");
  let best: { name: string; common: number } | undefined;
  for (const name of known) {
    if (name === repository) continue;
    const parts = name.split("/");
    let common = 0;
    while (common < parts.length && parts[common] === target[common]) common++;
    if (best === undefined || common >= best.common) best = { name, common };
  }
  return best?.name;
}
