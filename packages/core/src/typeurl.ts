/**
 * Type URLs of `Any` values.
 *
 * @module
 */
import type { Any } from "./records.ts";

export const specTypeUrl = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
export const processTypeUrl = "types.containerd.io/opencontainers/runtime-spec/1/Process";
export const linuxResourcesTypeUrl = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";
export const featuresTypeUrl = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

/** The proto message name of a type URL: the part after the last `/`. */
export function typeName(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf("/") + 1);
}

/** Packs a value as JSON under a type URL. */
export function jsonAny(typeUrl: string, value: unknown): Any {
  return { typeUrl, value: new TextEncoder().encode(JSON.stringify(value)) };
}

/** Packs an encoded proto message; `name` is its bare full name. */
export function protoAny(name: string, value: Uint8Array): Any {
  return { typeUrl: name, value };
}

/** Whether `any` holds the proto message `name`, with or without a host prefix. */
export function isProtoAny(any: Any | undefined, name: string): any is Any {
  return any !== undefined && typeName(any.typeUrl) === name;
}
