/**
 * What was done for each attachment, on disk: DEL and CHECK need it, also after a restart. The files are libcni's, so
 * attachments of other runtimes can be read, and ours by theirs.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { dataLoss, diskError, errnoOf, messageOf } from "@ctrd/core/errors";
import { namesIn } from "@ctrd/sys";
import type { NetworkConfig } from "./config.ts";
import { parseNetworkConfig } from "./config.ts";
import { isObject, textOf } from "./json.ts";
import type { NetworkResult } from "./result.ts";
import { encodeResult, parseResult } from "./result.ts";

/** A container's interface on a network. */
export interface AttachmentKey {
  readonly network: string;
  readonly containerId: string;
  readonly ifName: string;
}

/** What is kept of an attachment. */
export interface CachedAttachment extends AttachmentKey {
  readonly netns: string;
  /** The configuration that the attachment was made with. */
  readonly config: NetworkConfig;
  readonly args: readonly (readonly [name: string, value: string])[];
  readonly capabilities: Readonly<Record<string, unknown>>;
  readonly result: NetworkResult;
}

const kind = "cniCacheV1";

/** The files of one directory. */
export class ResultCache {
  readonly #directory: string;

  /** @param directory libcni's is `/var/lib/cni` */
  constructor(directory: string) {
    this.#directory = join(directory, "results");
  }

  /** Keeps an attachment; durable when it resolves. */
  async put(attachment: CachedAttachment): Promise<void> {
    const { config, result, ...key } = attachment;
    const text = JSON.stringify({
      kind,
      containerId: key.containerId,
      config: Buffer.from(JSON.stringify(config.document)).toString("base64"),
      ifName: key.ifName,
      networkName: key.network,
      netns: key.netns,
      ...(key.args.length === 0 ? {} : { cniArgs: key.args }),
      ...(Object.keys(key.capabilities).length === 0 ? {} : { capabilityArgs: key.capabilities }),
      result: encodeResult(result, config.cniVersion),
    });
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const path = this.#path(key);
    const fresh = `${path}.${randomBytes(4).toString("hex")}.new`;
    try {
      await writeSynced(fresh, text);
      await rename(fresh, path);
    } catch (error) {
      await rm(fresh, { force: true });
      throw diskError(`keep the result of network "${key.network}" in ${path}`, error);
    }
  }

  /** Reads an attachment; undefined when there is none. @throws ContainerdError `data-loss` for a damaged file */
  async get(key: AttachmentKey): Promise<CachedAttachment | undefined> {
    return this.#read(this.#path(key));
  }

  /** All attachments of a network. Damaged files are left out: nothing can be undone with them. */
  async list(network: string): Promise<CachedAttachment[]> {
    const found: CachedAttachment[] = [];
    for (const name of await namesIn(this.#directory)) {
      if (!name.startsWith(`${network}-`) || name.endsWith(".new")) continue;
      try {
        const attachment = await this.#read(join(this.#directory, name));
        if (attachment?.network === network) found.push(attachment);
      } catch (error) {
        if (!(error instanceof Error) || !("kind" in error)) throw error;
      }
    }
    return found;
  }

  /** Forgets an attachment. */
  async remove(key: AttachmentKey): Promise<void> {
    await rm(this.#path(key), { force: true });
  }

  #path({ network, containerId, ifName }: AttachmentKey): string {
    return join(this.#directory, `${network}-${containerId}-${ifName}`);
  }

  async #read(path: string): Promise<CachedAttachment | undefined> {
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
    try {
      return parseAttachment(text, path);
    } catch (error) {
      throw dataLoss(`cached result ${path}: ${messageOf(error)} (remove the file to go on without it)`, {
        cause: error,
      });
    }
  }
}

function parseAttachment(text: string, path: string): CachedAttachment | undefined {
  const file: unknown = JSON.parse(text);
  // Old libcni kept the bare result, which is of no use without the rest.
  if (!isObject(file) || file["kind"] !== kind) return undefined;
  const { cniArgs, capabilityArgs, config } = file;
  return {
    network: textOf(file["networkName"]) ?? "",
    containerId: textOf(file["containerId"]) ?? "",
    ifName: textOf(file["ifName"]) ?? "",
    netns: textOf(file["netns"]) ?? "",
    config: parseNetworkConfig(Buffer.from(textOf(config) ?? "", "base64").toString(), path),
    args: Array.isArray(cniArgs) ? cniArgs.filter(isPair) : [],
    capabilities: isObject(capabilityArgs) ? capabilityArgs : {},
    result: parseResult(file["result"]),
  };
}

function isPair(value: unknown): value is [string, string] {
  return Array.isArray(value) && value.length === 2 && value.every((entry) => typeof entry === "string");
}

async function writeSynced(path: string, text: string): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}
