import type { AnyRegistration } from "@ctrd/core/plugin";
import { isObject } from "./package-manifest.ts";

/** Types and ids are names of directories and TOML tables. */
const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/**
 * What is wrong with a value that should be a registration.
 *
 * @param path how the value is reached, for the message: `default[1]`
 * @returns a sentence that begins with the wrong field; undefined when it is a registration
 */
export function problemOfRegistration(path: string, value: unknown): string | undefined {
  if (!isObject(value)) return `${path} must be a registration (an object) and is ${describe(value)}`;
  const { type, id, requires, config, initFn } = value as Partial<Record<keyof AnyRegistration, unknown>>;
  if (!isObject(type)) return `${path}.type must be a plugin type and is ${describe(type)}`;
  if (!isName(type["name"])) return `${path}.type.name must be a name and is ${describe(type["name"])}`;
  if (!isName(id)) return `${path}.id must be a name (letters, digits, ".", "_", "-") and is ${describe(id)}`;
  if (typeof initFn !== "function") return `${path}.initFn must be a function and is ${describe(initFn)}`;
  return problemOfRequires(`${path}.requires`, requires) ?? problemOfConfig(`${path}.config`, config);
}

/** The registrations that a plugin entry exports by default: one or an array of them. */
export function registrationsOf(
  exported: unknown,
): { readonly registrations: readonly AnyRegistration[] } | { readonly problem: string } {
  if (exported === undefined) return { problem: "it has no default export" };
  const list: readonly unknown[] = Array.isArray(exported) ? exported : [exported];
  for (const [index, value] of list.entries()) {
    const problem = problemOfRegistration(Array.isArray(exported) ? `default[${index}]` : "default", value);
    if (problem !== undefined) return { problem };
  }
  return { registrations: list as readonly AnyRegistration[] };
}

function problemOfRequires(path: string, requires: unknown): string | undefined {
  if (requires === undefined) return undefined;
  if (!Array.isArray(requires)) return `${path} must be an array and is ${describe(requires)}`;
  const index = requires.findIndex((requirement) => !isRequirement(requirement));
  if (index < 0) return undefined;
  return `${path}[${index}] must be a plugin type or reference and is ${describe(requires[index])}`;
}

function isRequirement(value: unknown): boolean {
  if (!isObject(value)) return false;
  if ("optional" in value) return isRequirement(value["optional"]);
  if (!("type" in value)) return isName(value["name"]);
  return isObject(value["type"]) && isName(value["type"]["name"]) && isName(value["id"]);
}

function problemOfConfig(path: string, config: unknown): string | undefined {
  if (config === undefined) return undefined;
  const standard = isObject(config) ? config["standard"] : undefined;
  // A schema may be a function with properties.
  const validator = (standard as { "~standard"?: { validate?: unknown } } | null | undefined)?.["~standard"];
  const isSchema = typeof validator?.validate === "function" && typeof (config as Schema).jsonSchema === "function";
  return isSchema ? undefined : `${path} must be what configSchema() returns and is ${describe(config)}`;
}

type Schema = { readonly jsonSchema?: unknown };

function isName(value: unknown): value is string {
  return typeof value === "string" && namePattern.test(value);
}

function describe(value: unknown): string {
  if (value === undefined) return "missing";
  if (typeof value === "string") return JSON.stringify(value);
  if (Array.isArray(value)) return "an array";
  return value === null || typeof value === "boolean" ? String(value) : `of type ${typeof value}`;
}
