/**
 * What a shim's `start` reads and answers. Pure.
 *
 * @module
 */
import { basename } from "node:path";
import { Any } from "@ctrd/api/google/protobuf/any";
import type { LogLevel } from "@ctrd/api/runtime/bootstrap/v1/bootstrap";
import { BootstrapParams, BootstrapResult } from "@ctrd/api/runtime/bootstrap/v1/bootstrap";
import { invalidArgument, notImplemented } from "@ctrd/core/errors";
import type { Any as AnyRecord } from "@ctrd/core/records";
import type { Endpoint } from "./address.ts";

/** Newest version of the task API that the daemon speaks. */
export const currentShimVersion = 3;

/**
 * What `start` reads from standard input: `params` = BootstrapParams (containerd 2.3 and later), `options` = the
 * runtime options as a protobuf Any (before). See docs/adr on shim start encodings.
 */
export type StartEncoding = "params" | "options";

/** Facts that go to a shim at its start. */
export interface StartFacts {
  id: string;
  namespace: string;
  debug: boolean;
  daemonVersion: string;
  grpcAddress: string;
  ttrpcAddress: string;
  daemonBinary: string;
  socketDir: string;
  options: AnyRecord | undefined;
}

const logLevelInfo = 0 as LogLevel;
const logLevelDebug = -4 as LogLevel;

/**
 * The encoding for a binary: old shims of containerd itself are known by their version, all others get what
 * containerd 2.3 sends.
 *
 * @param path of the binary
 * @param versionText what it says to `-v`
 */
export function startEncodingOf(path: string, versionText: string): StartEncoding {
  if (/shim-(runc|runhcs)-v1/.test(basename(path))) return "options";
  const version = /^\s*Version:\s+v?(\d+)\.(\d+)/m.exec(versionText);
  if (version === null) return "params";
  const [major, minor] = [Number(version[1]), Number(version[2])];
  return major === 1 || (major === 2 && minor < 3) ? "options" : "params";
}

/** Bytes for the standard input of `start`. */
export function encodeStartInput(encoding: StartEncoding, facts: StartFacts): Uint8Array {
  if (encoding === "options") {
    return facts.options === undefined ? new Uint8Array(0) : Any.encode(facts.options).finish();
  }
  return BootstrapParams.encode({
    instanceId: facts.id,
    namespace: facts.namespace,
    logLevel: facts.debug ? logLevelDebug : logLevelInfo,
    containerdVersion: facts.daemonVersion,
    containerdTtrpcAddress: facts.ttrpcAddress,
    containerdGrpcAddress: facts.grpcAddress,
    containerdBinary: facts.daemonBinary,
    extensions: facts.options === undefined ? [] : [{ value: facts.options }],
    socketDir: facts.socketDir === "" ? undefined : facts.socketDir,
  }).finish();
}

/** Whether the output of a failed start says that the shim took BootstrapParams for an Any of options. */
export function refusesParams(output: string, id: string): boolean {
  return output.includes(`type with url ${id}: not found`);
}

/**
 * Reads the answer of `start`: a protobuf BootstrapResult, JSON, or the bare address of a version 2 shim.
 *
 * @throws ContainerdError `invalid-argument` for an empty answer, `not-implemented` for a version above 3
 */
export function parseStartOutput(output: Uint8Array): Endpoint {
  const endpoint = fromProtobuf(output) ?? fromText(Buffer.from(output).toString().trim());
  if (endpoint.version > currentShimVersion) {
    throw notImplemented(`shim of version ${endpoint.version}; this daemon speaks up to ${currentShimVersion}`);
  }
  return endpoint;
}

/** bootstrap.json of an endpoint. */
export function encodeBootstrapJson(endpoint: Endpoint): string {
  return JSON.stringify({ version: endpoint.version, address: endpoint.address, protocol: endpoint.protocol });
}

function fromProtobuf(output: Uint8Array): Endpoint | undefined {
  let result: BootstrapResult;
  try {
    result = BootstrapResult.decode(output);
  } catch {
    // Not protobuf: JSON or text.
    return undefined;
  }
  if (result.address === "" || result.version < 2) return undefined;
  return { version: result.version, address: result.address, protocol: result.protocol.toLowerCase() || "ttrpc" };
}

function fromText(text: string): Endpoint {
  if (text === "") throw invalidArgument("the shim's start printed no address");
  const json = fromJson(text);
  if (json !== undefined) return json;
  return { version: 2, address: text, protocol: "ttrpc" };
}

function fromJson(text: string): Endpoint | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Not JSON: a bare address.
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { version, address, protocol } = value as { version?: unknown; address?: unknown; protocol?: unknown };
  if (typeof version !== "number" || version < 2 || typeof address !== "string") return undefined;
  return { version, address, protocol: typeof protocol === "string" ? protocol.toLowerCase() || "ttrpc" : "ttrpc" };
}
