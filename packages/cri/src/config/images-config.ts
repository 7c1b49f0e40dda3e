/** The table of images: `[plugins."io.containerd.cri.v1.images"]`. */
import type { ConfigSchema } from "@ctrd/core/config";
import { configSchema } from "@ctrd/core/config";
import { z } from "zod";
import { duration } from "./fields.ts";

/** Credentials of a registry as old files have them. */
export interface RegistryAuth {
  username: string;
  password: string;
  auth: string;
  identitytoken: string;
}

/** TLS files of a registry as old files have them. */
export interface RegistryTls {
  insecure_skip_verify: boolean;
  ca_file: string;
  cert_file: string;
  key_file: string;
}

/** Where images come from. */
export interface RegistryConfig {
  config_path: string;
  mirrors: Record<string, { endpoint: string[] }>;
  configs: Record<string, { auth: RegistryAuth; tls: RegistryTls }>;
  auths: Record<string, RegistryAuth>;
  headers: Record<string, string[]>;
}

/** `[plugins."io.containerd.cri.v1.images"]` */
export interface ImagesConfig {
  snapshotter: string;
  disable_snapshot_annotations: boolean;
  discard_unpacked_layers: boolean;
  max_concurrent_downloads: number;
  concurrent_layer_fetch_buffer: number;
  image_pull_progress_timeout: string;
  image_pull_with_sync_fs: boolean;
  stats_collect_period: number;
  use_local_image_pull: boolean;
  pinned_images: Record<string, string>;
  runtime_platforms: Record<string, { platform: string; snapshotter: string }>;
  registry: RegistryConfig;
  image_decryption: { key_model: string };
}

/** The pause image of containerd 2.3. */
const defaultSandboxImage = "registry.k8s.io/pause:3.10.2";

const text = (about: string): z.ZodDefault<z.ZodString> => z.string().default("").describe(about);
const flag = (about: string, value = false): z.ZodDefault<z.ZodBoolean> => z.boolean().default(value).describe(about);

const auth = z.object({
  username: text("User."),
  password: text("Password."),
  auth: text("Base64 of user:password."),
  identitytoken: text("Token that is exchanged for others."),
});

const registry = z.object({
  config_path: z
    .string()
    .default("/etc/containerd/certs.d:/etc/docker/certs.d")
    .describe("Directories of hosts.toml files, separated by colons."),
  mirrors: z
    .record(z.string(), z.object({ endpoint: z.array(z.string()).default([]).describe("URLs, asked in order.") }))
    .default({})
    .describe("Deprecated: endpoints by host; not used together with config_path."),
  configs: z
    .record(
      z.string(),
      z.object({
        auth: auth.prefault({}).describe("Deprecated: credentials."),
        tls: z
          .object({
            insecure_skip_verify: flag("Accept any certificate."),
            ca_file: text("Certificates to trust."),
            cert_file: text("Own certificate."),
            key_file: text("Its key."),
          })
          .prefault({})
          .describe("Deprecated: TLS files."),
      }),
    )
    .default({})
    .describe("Deprecated: credentials and TLS files by host."),
  auths: z.record(z.string(), auth).default({}).describe("Deprecated: credentials by URL."),
  headers: z.record(z.string(), z.array(z.string())).default({}).describe("Headers that every request gets."),
});

const table = z.object({
  snapshotter: z.string().min(1).default("overlayfs").describe("Where images are unpacked."),
  disable_snapshot_annotations: flag("Do not tell snapshotters which image a layer belongs to.", true),
  discard_unpacked_layers: flag("Let compressed layers be collected once they are unpacked."),
  max_concurrent_downloads: z.int().min(0).default(3).describe("Contents of one image fetched at a time; 0: no limit."),
  concurrent_layer_fetch_buffer: z
    .int()
    .min(0)
    .default(0)
    .describe(
      "Fetch what is larger in pieces of this many bytes, several at once; 0: large contents in pieces of 4 MiB.",
    ),
  image_pull_progress_timeout: duration.default("5m0s").describe("A pull without bytes for this long is cancelled."),
  image_pull_with_sync_fs: flag("Write the file system of each layer to the disk as soon as it is unpacked."),
  stats_collect_period: z.int().min(0).default(10).describe("Seconds between looks at what snapshots use."),
  use_local_image_pull: flag("Changes nothing: the daemon pulls by one way only."),
  pinned_images: z
    .record(z.string(), z.string())
    .prefault({})
    .transform((images) => ({ sandbox: defaultSandboxImage, ...images }))
    .describe(`Images that are not to be removed; sandbox (${defaultSandboxImage} when absent): the pause image.`),
  runtime_platforms: z
    .record(
      z.string(),
      z.object({
        platform: text("Accepted; images are for the platform of the machine."),
        snapshotter: text("Snapshotter."),
      }),
    )
    .default({})
    .describe("Platform and snapshotter by runtime handler."),
  registry: registry.prefault({}).describe("Where images come from."),
  image_decryption: z
    .object({
      key_model: z
        .string()
        .default("node")
        .describe("node: the decoders of this machine have the keys of encrypted images; else these are refused."),
    })
    .prefault({})
    .describe("Encrypted images."),
});

export const imagesConfig: ConfigSchema<ImagesConfig> = configSchema(table, () =>
  z.toJSONSchema(table, { io: "input" }),
);
