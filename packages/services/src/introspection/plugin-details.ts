import { dataLoss } from "@ctrd/core/errors";
import type { PluginRequirement, PluginSource, PluginState, PluginStatus } from "@ctrd/core/plugin";
import type { Any } from "@ctrd/core/records";
import { jsonAny } from "@ctrd/core/typeurl";
import { plainConfig } from "./plain-config.ts";

/** What a daemon answers of a plugin besides containerd's message, as JSON. */
const detailsTypeUrl = "types.ctrd.dev/plugin-details.v1+json";

type Details = Pick<PluginStatus, "source" | "requirements" | "state" | "error" | "remedy" | "config">;

/** The parts of a status that containerd's message has no fields for. Secrets in the configuration are hidden. */
export function pluginDetails({ source, requirements, state, error, remedy, config }: PluginStatus): Any {
  const details: Details = {
    state,
    ...(source === undefined ? {} : { source }),
    ...(requirements === undefined ? {} : { requirements }),
    ...(error === undefined ? {} : { error }),
    ...(remedy === undefined ? {} : { remedy }),
    ...(config === undefined ? {} : { config: plainConfig(config) }),
  };
  return jsonAny(detailsTypeUrl, details);
}

/** Whether `extra` is what {@link pluginDetails} makes. */
export function isPluginDetails(extra: Any | undefined): extra is Any {
  return extra?.typeUrl === detailsTypeUrl;
}

/** Completes a status by its details. @throws `data-loss` when they are not what this version writes */
export function withDetails(status: PluginStatus, extra: Any): PluginStatus {
  const { type, id, requires, meta } = status;
  return { type, id, requires, meta, ...parseDetails(`${type}.${id}`, extra) };
}

function parseDetails(plugin: string, { value }: Any): Details {
  let details: unknown;
  try {
    details = JSON.parse(new TextDecoder().decode(value));
  } catch (error) {
    throw dataLoss(`details of plugin "${plugin}" are not JSON`, { cause: error });
  }
  if (isDetails(details)) return details;
  throw dataLoss(`details of plugin "${plugin}" have an unknown shape`);
}

const states: readonly unknown[] = ["ok", "skipped", "failed", "disabled"] satisfies PluginState[];

function isDetails(value: unknown): value is Details {
  if (!isObject(value) || !states.includes(value["state"])) return false;
  const { source, requirements, error, remedy } = value;
  if (source !== undefined && !isSource(source)) return false;
  if (requirements !== undefined && !(Array.isArray(requirements) && requirements.every(isRequirement))) return false;
  return isText(error) && isText(remedy);
}

function isSource(value: unknown): value is PluginSource {
  if (!isObject(value)) return false;
  return typeof value["name"] === "string" && typeof value["version"] === "string" && isText(value["directory"]);
}

function isRequirement(value: unknown): value is PluginRequirement {
  return isObject(value) && typeof value["type"] === "string" && isText(value["id"]);
}

function isText(value: unknown): boolean {
  return value === undefined || typeof value === "string";
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
