/**
 * Configuration schemas. Core sees a schema only as Standard Schema with a JSON Schema and depends on no schema
 * library; plugin packages depend on zod 4 themselves:
 *
 * ```ts
 * import { z } from "zod";
 * import { configSchema } from "@ctrd/core/config";
 *
 * /** `[plugins."io.containerd.snapshotter.v1.overlayfs"]` *\/
 * export interface OverlayConfig {
 *   root_path: string;
 *   sync_remove: boolean;
 * }
 *
 * const table = z.object({
 *   root_path: z.string().default("").describe("Directory of the snapshots; empty: the plugin's own root."),
 *   sync_remove: z.boolean().default(false).describe("Delete directories before Remove returns."),
 * });
 * export const overlayConfig: ConfigSchema<OverlayConfig> = configSchema(table, () =>
 *   z.toJSONSchema(table, { io: "input" }),
 * );
 * ```
 *
 * The interface is written out because of `isolatedDeclarations`; the compiler checks it against the schema.
 *
 * Keys are containerd's own (snake_case). Every key has a default and a description: validating `{}` gives the
 * defaults, and `ctrd config default` prints both. The daemon reports unknown keys itself, with their position, from
 * the JSON Schema; a table that takes any key says so with `z.record(…)`.
 *
 * @module
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";

/**
 * The schema of a plugin's configuration.
 *
 * `standard` validates and fills defaults; validating `{}` gives the defaults. `jsonSchema` returns JSON Schema
 * 2020-12 of the input (with `default`s and `description`s).
 */
export interface ConfigSchema<C> {
  readonly standard: StandardSchemaV1<unknown, C>;
  jsonSchema(): Record<string, unknown>;
}

/**
 * Makes a schema for core from any Standard Schema.
 *
 * @param standard the schema; a zod 4 object is one
 * @param jsonSchema its JSON Schema; called only when the daemon needs it
 */
export function configSchema<C>(
  standard: StandardSchemaV1<unknown, C>,
  jsonSchema: () => Record<string, unknown>,
): ConfigSchema<C> {
  return { standard, jsonSchema };
}
