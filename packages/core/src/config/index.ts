/**
 * Configuration schemas. Core sees a schema only as Standard Schema with a JSON Schema; zod 4 schemas are both.
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
