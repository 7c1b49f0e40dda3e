/** The official JSON schema of the runtime specification, as tools/setup-host.sh fetches it. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Ajv } from "ajv";
import { test } from "vitest";
import type { Spec } from "../src/index.ts";
import { encodeSpec } from "../src/index.ts";

const directory = fileURLToPath(new URL("../../../.host/runtime-spec-v1.2.1/", import.meta.url));

/** What the schema has to say against a spec; empty when it is valid. */
export function schemaErrors(spec: Spec): string[] {
  // The schema is of draft 4, but uses nothing that has changed since.
  const read = (name: string): object => {
    const { $schema: _draft, ...schema } = JSON.parse(readFileSync(`${directory}${name}`, "utf8")) as Record<
      string,
      unknown
    >;
    return schema;
  };
  const ajv = new Ajv({ strict: false, allErrors: true });
  const parts = ["defs", "defs-linux", "defs-vm", "defs-windows", "defs-zos"];
  const configs = ["config-linux", "config-vm", "config-windows", "config-solaris", "config-zos"];
  for (const name of [...parts, ...configs]) ajv.addSchema(read(`${name}.json`), `${name}.json`);
  const validate = ajv.compile(read("config-schema.json"));
  validate(JSON.parse(Buffer.from(encodeSpec(spec)).toString()));
  return (validate.errors ?? []).map((error) => `${error.instancePath} ${error.message}`);
}

/** Declares a test that needs the schema. Without it the test is skipped; in CI it fails. */
export function schemaTest(name: string, body: () => void | Promise<void>): void {
  needing(existsSync(directory), "the runtime specification's schema (tools/setup-host.sh)", name, body);
}

/** Declares a test that needs something of the machine. Without it the test is skipped; in CI it fails. */
export function needing(present: boolean, what: string, name: string, body: () => void | Promise<void>): void {
  if (present) test(name, body);
  else if (process.env["CI"] === "true")
    test(name, () => Promise.reject(new Error(`must not be skipped in CI: no ${what}`)));
  else test.skip(`${name} [skipped: no ${what}]`, body);
}
