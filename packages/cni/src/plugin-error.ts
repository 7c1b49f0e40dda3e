/**
 * Failures of plugins.
 *
 * @module
 */
import type { ErrorKind } from "@ctrd/core/errors";
import { ContainerdError } from "@ctrd/core/errors";
import { isObject, textOf } from "./json.ts";
import type { PluginOutput } from "./plugin-program.ts";

/** What is done with a network. */
export type CniOperation = "ADD" | "CHECK" | "DEL" | "STATUS" | "GC" | "VERSION";

/** Which call failed. */
export interface PluginCall {
  readonly operation: CniOperation;
  readonly network: string;
  readonly plugin: string;
}

/** The specification's own error codes; from 100 on they are a plugin's. */
const knownCodes: ReadonlyMap<number, { kind: ErrorKind; remedy: string }> = new Map([
  [1, { kind: "failed-precondition", remedy: `use a "cniVersion" that the plugin knows, or a newer plugin` }],
  [2, { kind: "invalid-argument", remedy: "take the key out of the configuration, or use a newer plugin" }],
  [3, { kind: "not-found", remedy: "the container or its network namespace is gone" }],
  [4, { kind: "internal", remedy: "" }],
  [5, { kind: "unavailable", remedy: "" }],
  [6, { kind: "internal", remedy: "" }],
  [7, { kind: "invalid-argument", remedy: "mend the network's configuration" }],
  [11, { kind: "unavailable", remedy: "it may work later" }],
  [50, { kind: "unavailable", remedy: "the plugin can do nothing now" }],
  [51, { kind: "unavailable", remedy: "the plugin can serve no new containers now" }],
]);

/** The error of a plugin; its message names operation, network, plugin, and what the plugin said. */
export class CniPluginError extends ContainerdError {
  override readonly name: string = "CniPluginError";
  readonly operation: CniOperation;
  readonly network: string;
  readonly plugin: string;
  /** Code of the specification or, from 100 on, of the plugin; 0 when it gave none. */
  readonly code: number;
  readonly details: string;

  constructor(call: PluginCall, said: { code: number; message: string; details: string }) {
    const known = knownCodes.get(said.code);
    const { operation, network, plugin } = call;
    const remedy = known?.remedy ? ` (${known.remedy})` : "";
    const details = said.details === "" || said.message.includes(said.details) ? "" : `: ${said.details}`;
    super(known?.kind ?? "unknown", `${describeCall(call)}: ${said.message}${details}${remedy}`);
    [this.operation, this.network, this.plugin] = [operation, network, plugin];
    [this.code, this.details] = [said.code, said.details];
  }
}

/** A call, for messages. */
export function describeCall({ operation, network, plugin }: PluginCall): string {
  return `network "${network}": plugin "${plugin}": ${operation}`;
}

/** The error of a plugin that has failed: what it answered, or else how it ended and what it wrote. */
export function pluginError(call: PluginCall, { exit, stdout, stderr }: PluginOutput): CniPluginError {
  const answer = parse(stdout);
  const message = textOf(answer?.["msg"]);
  if (answer !== undefined && message !== undefined) {
    const code = typeof answer["code"] === "number" ? answer["code"] : 0;
    return new CniPluginError(call, { code, message, details: textOf(answer["details"]) ?? "" });
  }
  const how = typeof exit === "number" ? `exit code ${exit}` : `ended by ${exit}`;
  const wrote = shorten(
    [stdout, stderr]
      .map((text) => text.trim())
      .filter(Boolean)
      .join(" "),
  );
  return new CniPluginError(call, { code: 0, message: `${how}, no answer${wrote && `: ${wrote}`}`, details: "" });
}

function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    // Not every failure is an answer; what was written is shown as it is.
    return undefined;
  }
}

const shownLength = 1000;

/** What a plugin wrote, as messages show it. */
export function shorten(text: string): string {
  return text.length > shownLength ? `${text.slice(0, shownLength)}…` : text;
}
