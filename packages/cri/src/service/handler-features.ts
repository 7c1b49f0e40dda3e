/**
 * What the runtimes of handlers can do.
 *
 * @module
 */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { CallContext } from "@ctrd/core/context";
import { messageOf } from "@ctrd/core/errors";
import type { TaskRuntime } from "@ctrd/core/tasks";
import { featuresTypeUrl } from "@ctrd/core/typeurl";
import { kernelAtLeast } from "@ctrd/sys";
import type { HandlerConfig, RuntimeConfig } from "../config/runtime-config.ts";
import { shimOf } from "../sandboxes/pause-controller.ts";
import { runtimeOptions } from "../sandboxes/runtime-options.ts";

/** Features of one handler. */
export interface HandlerFeature {
  readonly recursiveReadOnlyMounts: boolean;
  readonly userNamespaces: boolean;
}

const none: HandlerFeature = { recursiveReadOnlyMounts: false, userNamespaces: false };
const askMs = 10_000;

/** Features by handler. */
export class HandlerFeatures {
  readonly #byName = new Map<string, HandlerFeature>();
  readonly #defaultName: string;
  #detected: Promise<unknown> = Promise.resolve();

  constructor(defaultName: string) {
    this.#defaultName = defaultName;
  }

  /** Begins to ask every runtime. One that does not answer has none. */
  detect(ctx: CallContext, runtime: TaskRuntime, config: RuntimeConfig): void {
    const handlers = Object.entries(config.containerd.runtimes);
    this.#detected = Promise.all(
      handlers.map(async ([name, handler]) => {
        try {
          this.#byName.set(name, featureOf(await describe(ctx, runtime, handler, config)));
        } catch (error) {
          ctx.log.debug({ handler: name, err: messageOf(error) }, "runtime does not tell its features");
        }
      }),
    );
  }

  /** Features of a handler, once they are known. */
  async of(handler: string): Promise<HandlerFeature> {
    await this.#detected;
    return this.#byName.get(handler === "" ? this.#defaultName : handler) ?? none;
  }
}

interface Features {
  readonly mountOptions?: readonly string[];
  readonly linux?: {
    readonly namespaces?: readonly string[];
    readonly mountExtensions?: { readonly idmap?: { readonly enabled?: boolean } };
  };
}

/** The shim's answer; of an old one, which has none, that of the runtime itself. */
async function describe(
  ctx: CallContext,
  runtime: TaskRuntime,
  handler: HandlerConfig,
  config: RuntimeConfig,
): Promise<Features> {
  try {
    const request = { runtimePath: shimOf(handler), options: runtimeOptions(handler, config) };
    const { features } = await runtime.info(ctx, request);
    if (features?.typeUrl === featuresTypeUrl) return JSON.parse(Buffer.from(features.value).toString()) as Features;
  } catch (error) {
    ctx.log.debug({ err: messageOf(error) }, "shim does not tell the features of its runtime");
  }
  if (!/^io\.containerd\.runc\.v\d$/.test(handler.runtime_type)) return {};
  const name = handler.options["BinaryName"];
  const program = typeof name === "string" && name !== "" ? name : "runc";
  const { stdout } = await promisify(execFile)(program, ["features"], { timeout: askMs, signal: ctx.signal });
  return JSON.parse(stdout) as Features;
}

function featureOf({ mountOptions = [], linux = {} }: Features): HandlerFeature {
  return {
    recursiveReadOnlyMounts: mountOptions.includes("rro") && kernelAtLeast(5, 12),
    userNamespaces: linux.mountExtensions?.idmap?.enabled === true && (linux.namespaces ?? []).includes("user"),
  };
}
