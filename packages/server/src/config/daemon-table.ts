import type { ConfigSchema } from "@ctrd/core/config";
import { configSchema } from "@ctrd/core/config";
import { z } from "zod";
import { latestVersion } from "./migrate.ts";

/** Where things are unless the configuration says otherwise. */
export const defaultPaths = {
  config: "/etc/ctrd/config.toml",
  imports: "/etc/ctrd/conf.d/*.toml",
  root: "/var/lib/ctrd",
  state: "/run/ctrd",
} as const;

/** Log levels, as containerd names them. */
export const logLevels = ["trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"] as const;
export type LogLevel = (typeof logLevels)[number];

export interface StreamProcessorTable {
  accepts: string[];
  returns: string;
  path: string;
  args: string[];
  env: string[];
}

export interface ProxyPluginTable {
  type: string;
  address: string;
  platform: string;
  exports: Record<string, string>;
  capabilities: string[];
}

/** The whole configuration, with containerd's key names, in the newest layout. */
export interface DaemonTable {
  version: number;
  root: string;
  state: string;
  temp: string;
  imports: string[];
  disabled_plugins: string[];
  required_plugins: string[];
  oom_score: number;
  debug: { level: LogLevel | ""; format: "text" | "json" | ""; log_trace_id: boolean };
  cgroup: { path: string };
  timeouts: Record<string, string>;
  stream_processors: Record<string, StreamProcessorTable>;
  proxy_plugins: Record<string, ProxyPluginTable>;
  plugins: Record<string, Record<string, unknown>>;
}

/** `[timeouts]` when not configured: those that plugins of the default set wait by. */
export const defaultTimeouts: Readonly<Record<string, string>> = {
  "io.containerd.timeout.shim.load": "5s",
  "io.containerd.timeout.shim.cleanup": "5s",
  "io.containerd.timeout.shim.shutdown": "3s",
  "io.containerd.timeout.task.state": "2s",
  "io.containerd.timeout.metrics.shimstats": "2s",
  // Of ctrd's own: containerd's limit of the first cannot be set, and it has none for the second.
  "io.ctrd.timeout.shim.start": "100s",
  "io.ctrd.timeout.shim.create": "5m0s",
};

const decoder = {
  path: "ctd-decoder",
  args: ["--decryption-keys-path", "/etc/containerd/ocicrypt/keys"],
  env: ["OCICRYPT_KEYPROVIDER_CONFIG=/etc/containerd/ocicrypt/ocicrypt_keyprovider.conf"],
};
const ociLayer = "application/vnd.oci.image.layer.v1.tar";

/** `[stream_processors]` that are there besides the configured ones: containerd's, for encrypted layers. */
export const defaultStreamProcessors: Readonly<Record<string, StreamProcessorTable>> = {
  "io.containerd.ocicrypt.decoder.v1.tar.gzip": {
    accepts: [`${ociLayer}+gzip+encrypted`],
    returns: `${ociLayer}+gzip`,
    ...decoder,
  },
  "io.containerd.ocicrypt.decoder.v1.tar": { accepts: [`${ociLayer}+encrypted`], returns: ociLayer, ...decoder },
};

const streamProcessor = z.object({
  accepts: z.array(z.string()).default([]).describe("Media types that it reads."),
  returns: z.string().default("").describe("Media type that it produces."),
  path: z.string().default("").describe("Command."),
  args: z.array(z.string()).default([]).describe("Arguments of the command."),
  env: z.array(z.string()).default([]).describe("Environment of the command."),
});

/** Names of types, for the JSON Schema; `@ctrd/proxy` is what checks them. */
const proxyTypes = [
  "snapshot",
  "content",
  "diff",
  "sandbox",
  "io.containerd.snapshotter.v1",
  "io.containerd.content.v1",
  "io.containerd.differ.v1",
  "io.containerd.sandbox.controller.v1",
];

const proxyPlugin = z
  .object({
    type: z
      .string()
      .default("")
      .meta({ description: "snapshot, content, sandbox, diff, or a plugin type.", enum: proxyTypes }),
    address: z
      .string()
      .default("")
      .meta({ description: "Absolute path of the unix socket; unix:// may be in front.", pattern: "^(unix://)?/" }),
    platform: z.string().default("").describe("Platform that it serves."),
    exports: z.record(z.string(), z.string()).default({}).describe("Facts for introspection."),
    capabilities: z.array(z.string()).default([]).describe("Capabilities for introspection."),
  })
  .meta({ required: ["type", "address"] });

const debug = z.object({
  level: z
    .enum([...logLevels, ""])
    .default("info")
    .describe("trace, debug, info, warn, error, fatal or panic."),
  format: z.enum(["json", "text", ""]).default("json").describe("json, or text: one readable line."),
  log_trace_id: z.boolean().default(false).describe("Log lines of calls that are traced name their trace."),
});

const cgroup = z.object({ path: z.string().default("").describe("Cgroup for the daemon itself; not supported.") });

/** What parseGoDuration reads, for the JSON Schema. */
const goDurationPattern = String.raw`^[-+]?(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`;

const table = z.object({
  version: z.int().min(0).max(latestVersion).default(latestVersion).describe("Layout of this file: 2, 3 or 4."),
  root: z.string().min(1).default(defaultPaths.root).describe("Directory for what must persist (mode 0700)."),
  state: z.string().min(1).default(defaultPaths.state).describe("Directory for what a reboot may remove (mode 0711)."),
  temp: z.string().default("").describe("Directory for temporary files (mode 0700); empty: the system's."),
  imports: z.array(z.string()).default([defaultPaths.imports]).describe("Files to merge into this one; * matches."),
  disabled_plugins: z.array(z.string()).default([]).describe("<type>.<id> of plugins to leave out."),
  required_plugins: z.array(z.string()).default([]).describe("<type>.<id> of plugins without which not to start."),
  oom_score: z.int().min(-1000).max(1000).default(0).describe("oom_score_adj of the daemon; 0: leave it alone."),
  debug: debug.prefault({}).describe("Logging."),
  cgroup: cgroup.prefault({}).describe("Cgroup of the daemon."),
  timeouts: z
    .record(z.string(), z.string().meta({ pattern: goDurationPattern }))
    .default({ ...defaultTimeouts })
    .describe("Go durations by name."),
  stream_processors: z
    .record(z.string(), streamProcessor)
    .default({ ...defaultStreamProcessors })
    .describe("Programs that layers are passed through before they are unpacked, by name."),
  proxy_plugins: z.record(z.string(), proxyPlugin).default({}).describe("Plugins behind a socket, by id."),
  plugins: z.record(z.string(), z.record(z.string(), z.unknown())).default({}).describe("Tables of plugins."),
});

/** Schema of everything but the plugins' own tables. */
export const daemonTable: ConfigSchema<DaemonTable> = configSchema(table, () => z.toJSONSchema(table, { io: "input" }));
