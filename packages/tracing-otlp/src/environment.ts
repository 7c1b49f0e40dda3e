/**
 * What configuration and OpenTelemetry's environment variables together say. The configuration wins.
 *
 * @module
 */
import { invalidArgument } from "@ctrd/core/errors";
import type { OtlpConfig, TracingConfig } from "./config.ts";

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Where spans go, and how. */
export interface ExportSettings {
  readonly protocol: "http/protobuf" | "grpc";
  /** Of `http/protobuf` with its path. */
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly gzip: boolean;
  /** Files of PEM: authorities that are trusted in place of the system's; the client's certificate and its key. */
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  /** Most spans that wait, and that go in one message. */
  readonly maxQueue: number;
  readonly maxBatch: number;
  /** How long spans wait for others, in milliseconds. */
  readonly delayMs: number;
}

/** Which traces that begin here are recorded. */
export interface SamplingSettings {
  /** 0 to 1. */
  readonly ratio: number;
  /** Whether the caller's decision counts, where it comes along. */
  readonly byParent: boolean;
}

/** Whether the environment switches traces off: with the variable that does. */
export function switchedOff(env: Environment): string | undefined {
  if (/^(1|t|true)$/i.test(env["OTEL_SDK_DISABLED"] ?? "")) return "OTEL_SDK_DISABLED";
  return env["OTEL_TRACES_EXPORTER"] === "none" ? "OTEL_TRACES_EXPORTER" : undefined;
}

/**
 * Where spans go; undefined when nothing says so.
 *
 * @throws ContainerdError `invalid-argument` naming the key or variable that is wrong
 */
export function exportSettings(config: OtlpConfig, env: Environment): ExportSettings | undefined {
  const protocol = protocolOf(config, env);
  const url = urlOf(config, env, protocol);
  if (url === undefined) return undefined;
  const exporter = env["OTEL_TRACES_EXPORTER"] ?? "";
  if (exporter !== "" && exporter !== "otlp") throw invalidArgument(`OTEL_TRACES_EXPORTER "${exporter}" must be otlp`);
  const compression = option(env, "COMPRESSION");
  if (!["", "none", "gzip"].includes(compression)) {
    throw invalidArgument(`OTEL_EXPORTER_OTLP_COMPRESSION "${compression}" must be gzip or none`);
  }
  const files = {
    ca: option(env, "CERTIFICATE"),
    cert: option(env, "CLIENT_CERTIFICATE"),
    key: option(env, "CLIENT_KEY"),
  };
  return {
    protocol,
    url,
    headers: pairsOf(option(env, "HEADERS")),
    timeoutMs: numberOf(option(env, "TIMEOUT"), "OTEL_EXPORTER_OTLP_TIMEOUT", 10_000),
    gzip: compression === "gzip",
    tls: Object.fromEntries(Object.entries(files).filter(([, file]) => file !== "")),
    maxQueue: numberOf(env["OTEL_BSP_MAX_QUEUE_SIZE"], "OTEL_BSP_MAX_QUEUE_SIZE", 2048),
    maxBatch: numberOf(env["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"], "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512),
    delayMs: numberOf(env["OTEL_BSP_SCHEDULE_DELAY"], "OTEL_BSP_SCHEDULE_DELAY", 5000),
  };
}

/** The value for traces, else the one for all signals. */
function option(env: Environment, name: string): string {
  return env[`OTEL_EXPORTER_OTLP_TRACES_${name}`] || env[`OTEL_EXPORTER_OTLP_${name}`] || "";
}

function protocolOf(config: OtlpConfig, env: Environment): "http/protobuf" | "grpc" {
  const protocol = config.protocol || option(env, "PROTOCOL") || "http/protobuf";
  if (protocol === "http/protobuf" || protocol === "grpc") return protocol;
  throw invalidArgument(`OTLP protocol "${protocol}" must be http/protobuf or grpc`);
}

const tracesPath = "/v1/traces";

function urlOf(config: OtlpConfig, env: Environment, protocol: string): URL | undefined {
  const forTraces = env["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] ?? "";
  const text = config.endpoint || forTraces || (env["OTEL_EXPORTER_OTLP_ENDPOINT"] ?? "");
  if (text === "") return undefined;
  const isInsecure = config.insecure || /^true$/i.test(option(env, "INSECURE"));
  const withScheme = /^https?:\/\//.test(text) ? text : `${isInsecure ? "http" : "https"}://${text}`;
  if (!URL.canParse(withScheme)) {
    throw invalidArgument(`OTLP endpoint "${text}" must be a URL, as http://127.0.0.1:4318`);
  }
  const url = new URL(withScheme);
  if (protocol === "grpc") return url;
  // What is said for traces alone is the whole URL; else it is what all signals have in common.
  const isWhole = config.endpoint === "" ? forTraces !== "" : url.pathname !== "/";
  if (!isWhole) url.pathname = `${url.pathname.replace(/\/$/, "")}${tracesPath}`;
  return url;
}

/** `a=1,b=2`, values as URLs encode them. */
function pairsOf(text: string): Record<string, string> {
  const pairs: Record<string, string> = Object.create(null) as Record<string, string>;
  for (const part of text.split(",")) {
    const at = part.indexOf("=");
    if (at > 0) pairs[part.slice(0, at).trim()] = decoded(part.slice(at + 1).trim());
  }
  return pairs;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Not encoded: a lone % means itself.
    return text;
  }
}

function numberOf(text: string | undefined, name: string, fallback: number): number {
  if (text === undefined || text === "") return fallback;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw invalidArgument(`${name} "${text}" must be a positive number`);
}

/** Which traces are recorded. @throws ContainerdError `invalid-argument` for a sampler that is not known */
export function samplingSettings(config: TracingConfig, env: Environment): SamplingSettings {
  if (config.sampling_ratio > 0) return { ratio: config.sampling_ratio, byParent: true };
  const name = (env["OTEL_TRACES_SAMPLER"] || "parentbased_always_on").toLowerCase();
  const byParent = name.startsWith("parentbased_");
  const kind = byParent ? name.slice("parentbased_".length) : name;
  if (kind === "always_on") return { ratio: 1, byParent };
  if (kind === "always_off") return { ratio: 0, byParent };
  if (kind !== "traceidratio") throw invalidArgument(`OTEL_TRACES_SAMPLER "${name}" is not known`);
  const argument = env["OTEL_TRACES_SAMPLER_ARG"] || "1";
  const ratio = Number(argument);
  if (ratio >= 0 && ratio <= 1) return { ratio, byParent };
  throw invalidArgument(`OTEL_TRACES_SAMPLER_ARG "${argument}" must be a number from 0 to 1`);
}

/** What is said of this daemon in every message. */
export function resourceAttributes(config: TracingConfig, env: Environment): Record<string, string> {
  const given = pairsOf(env["OTEL_RESOURCE_ATTRIBUTES"] ?? "");
  const name = config.service_name || env["OTEL_SERVICE_NAME"] || given["service.name"] || "ctrd";
  return { ...given, "service.name": name };
}
