/**
 * Specs as JSON, without loss: whole numbers beyond 2^53 are bigints on our side and plain numbers in the text.
 *
 * @module
 */
import { invalidArgument, resourceExhausted } from "@ctrd/core/errors";
import type { Process, Spec } from "./spec.ts";
import type { Resources } from "./spec-linux.ts";

/** Largest text that {@link decodeSpec} takes. A spec with thousands of mounts and devices is far below. */
const maxSpecBytes = 8 << 20;

/** Node has these of the "JSON.parse source text access" proposal; the type library does not. */
interface JsonWithSource {
  rawJSON(text: string): object;
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
}
const json = JSON as unknown as JsonWithSource;

/** The `config.json` of a spec, the process of an exec, or the limits of an update as JSON. @throws ContainerdError `invalid-argument` for a number that is not whole, or not exact */
export function encodeSpec(spec: Spec | Process | Resources): Uint8Array {
  return Buffer.from(
    JSON.stringify(spec, (key, value: unknown) => {
      if (typeof value === "bigint") return json.rawJSON(value.toString());
      if (typeof value === "number" && !Number.isSafeInteger(value)) {
        throw invalidArgument(
          `spec: "${key}" is ${value}, which is no exact whole number (beyond 2^53 it must be a bigint)`,
        );
      }
      return value;
    }),
  );
}

/** A spec from its JSON. @throws ContainerdError `invalid-argument` when it is no JSON object */
export function decodeSpec(text: Uint8Array | string): Spec {
  const size = Buffer.byteLength(text);
  if (size > maxSpecBytes) throw resourceExhausted(`spec has ${size} bytes, the limit is ${maxSpecBytes}`);
  let value: unknown;
  try {
    value = json.parse(Buffer.from(text).toString(), (_key, read, context) =>
      typeof read === "number" && !Number.isSafeInteger(read) && /^-?\d+$/.test(context.source ?? "")
        ? BigInt(context.source ?? "")
        : read,
    );
  } catch (cause) {
    throw invalidArgument("spec is not JSON", { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalidArgument("spec is not a JSON object");
  }
  return value as Spec;
}
