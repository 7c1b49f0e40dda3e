/**
 * All methods that a daemon serves, out of the generated definitions.
 *
 * @module
 */
import { globSync } from "node:fs";
import { join } from "node:path";
import type { ServiceDefinition } from "@ctrd/ttrpc";

/** A method by the path of its requests. */
export interface Method {
  readonly path: string;
  readonly unary: boolean;
}

/** They would go to the network, for images of any name. */
const outside = new Set(["/runtime.v1.ImageService/PullImage", "/runtime.v1.RuntimeService/RunPodSandbox"]);

/** Methods of every service that there is a definition of; the daemon does not serve all of them. */
export async function allMethods(): Promise<Method[]> {
  const generated = join(import.meta.dirname, "../../packages/api/src/gen");
  const found: Method[] = [];
  for (const file of globSync("**/*.ts", { cwd: generated }).toSorted()) {
    const exported = Object.values((await import(join(generated, file))) as Record<string, unknown>);
    for (const { fullName, methods } of exported.filter(isService)) {
      for (const { name, requestStream, responseStream } of Object.values(methods)) {
        found.push({ path: `/${fullName}/${name}`, unary: !requestStream && !responseStream });
      }
    }
  }
  return found.filter(({ path }) => !outside.has(path));
}

function isService(value: unknown): value is ServiceDefinition {
  return typeof value === "object" && value !== null && "fullName" in value && "methods" in value;
}
