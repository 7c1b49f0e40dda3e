/**
 * The pusher: uploads to one repository, or mounts from another one of the same host.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { alreadyExists, ContainerdError, failedPrecondition, kindOf, messageOf, unavailable } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import type { Reference } from "@ctrd/core/references";
import { formatReference } from "@ctrd/core/references";
import type { Pusher, PushWriter } from "@ctrd/core/remotes";
import type { ApiResponse } from "./answers.ts";
import { describeFailure, drop, headerOf } from "./answers.ts";
import type { RegistryHost } from "./hosts.ts";
import { isManifestType } from "./media-types.ts";
import { askHost } from "./requests.ts";
import { pullScope, pushScope } from "./scopes.ts";
import type { ApiRequest } from "./send.ts";
import { originOf } from "./send.ts";
import type { UploadTarget } from "./upload.ts";
import { Upload } from "./upload.ts";

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
      response = await this.#send(ctx, host, ask);
    } catch (error) {
      // Repositories that are made by the first push may not be looked into.
      if (isDenied(error)) return false;
      throw error;
    }
    await drop(response);
    if (response.status === 200) {
      const told = headerOf(response, "docker-content-digest");
      return !path.startsWith("manifests/") || path.endsWith(descriptor.digest) || told === descriptor.digest;
    }
    if ([401, 403, 404].includes(response.status)) return false;
    throw unavailable(`look for ${descriptor.digest} in ${host.host}: HTTP status ${response.status}`);
  }

  /** Where a blob is to be put. @throws `already-exists` when it could be mounted */
  async #startUpload(ctx: CallContext, host: RegistryHost, descriptor: Descriptor): Promise<UploadTarget> {
    const from = mountSource(descriptor, this.#reference);
    const request = this.#request("POST", this.#path("blobs/uploads/"), `start the upload of ${descriptor.digest}`);
    let response = from === undefined ? undefined : await this.#tryMount(ctx, host, request, descriptor.digest, from);
    response ??= await this.#send(ctx, host, request);
    if (response.status === 201) {
      await drop(response);
      throw alreadyExists(`content ${descriptor.digest} mounted from ${from ?? "another repository"}`);
    }
    if (![200, 202, 204].includes(response.status)) {
      const { kind, message } = await describeFailure(response);
      throw new ContainerdError(kind, `${request.action} to ${host.host}: ${message}`);
    }
    await drop(response);
    const path = uploadUrl(headerOf(response, "location"), host);
    if (path === undefined) throw unavailable(`${request.action}: ${host.host} does not say where to`);
    return { path, query: { digest: descriptor.digest }, type: "application/octet-stream" };
  }

  /** The answer to a mount; undefined when the other repository may not be read. */
  async #tryMount(
    ctx: CallContext,
    host: RegistryHost,
    request: ApiRequest,
    digest: string,
    from: string,
  ): Promise<ApiResponse | undefined> {
    const scopes = [pushScope(this.#reference.repository), pullScope(from)];
    try {
      const mount = { ...request, scopes, query: { mount: digest, from } };
      const response = await this.#send(ctx, host, mount);
      if (response.status !== 401 && response.status !== 403) return response;
      await drop(response);
    } catch (error) {
      if (!isDenied(error)) throw error;
    }
    return undefined;
  }

  async #send(ctx: CallContext, host: RegistryHost, request: ApiRequest): Promise<ApiResponse> {
    try {
      return await askHost(ctx, host, request, this.#userAgent, true);
    } catch (error) {
      if (ctx.signal.aborted) throw error;
      const message = `${request.action} to ${host.host}: ${messageOf(error)}`;
      throw new ContainerdError(kindOf(error), message, { cause: error });
    }
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

function isDenied(error: unknown): boolean {
  return error instanceof ContainerdError && ["unauthenticated", "permission-denied"].includes(error.kind);
}

/** An absolute path, a URL, or a host without scheme. */
function uploadUrl(location: string, host: RegistryHost): URL | undefined {
  if (location === "") return undefined;
  const base = originOf(host);
  const hasHost = /^[\w.-]+(?::\d+)?\//.test(location);
  const text = hasHost ? `${new URL(base).protocol}//${location}` : location;
  const url = URL.canParse(text, base) ? new URL(text, base) : undefined;
  return url?.protocol === "https:" || url?.protocol === "http:" ? url : undefined;
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
