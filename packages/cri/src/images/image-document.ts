/** What an image's configuration document says beside what a spec is made of. */
import type { ImageExtras } from "./cri-image.ts";

/** Reads volumes, stop signal and labels; what is of a wrong type is left out. */
export function imageExtras(document: unknown): ImageExtras {
  const config = tableOf(document, "config");
  const stopSignal = Object.hasOwn(config, "StopSignal") ? config["StopSignal"] : "";
  const labels = Object.entries(tableOf(config, "Labels")).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string",
  );
  return {
    volumes: Object.keys(tableOf(config, "Volumes")),
    stopSignal: typeof stopSignal === "string" ? stopSignal : "",
    labels: new Map(labels),
  };
}

function tableOf(value: unknown, key: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return {};
  const table: unknown = (value as Record<string, unknown>)[key];
  return typeof table === "object" && table !== null && !Array.isArray(table) ? (table as Record<string, unknown>) : {};
}
