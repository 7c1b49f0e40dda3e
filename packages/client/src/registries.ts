/**
 * Pulling from registries and pushing to them.
 *
 * @module
 */
import type { ImageVerifier } from "@ctrd/core/image-verifier";
import type { Logger } from "@ctrd/core/log";
import type { Descriptor } from "@ctrd/core/records";
import type { ProgressListener, Resolver } from "@ctrd/core/remotes";
import type { ImageHandler, ImageHandlerWrapper } from "@ctrd/images";
import { anyPlatform, pullImage, pushContent } from "@ctrd/images";
import type { Client } from "./client.ts";
import { reported } from "./errors.ts";
import { Image } from "./image.ts";
import type { Abortable, LabelValues, PlatformChoice } from "./options.ts";
import { labelsOf } from "./options.ts";

/** Options of {@link Client.pull}. */
export interface PullImageOptions extends Abortable {
  /** The client's when absent. */
  readonly resolver?: Resolver;
  /** What is pulled of an index; the best for the client's platform when absent, `all` for everything. */
  readonly platform?: PlatformChoice | "all";
  /** Whether the layers are unpacked, which they are unless this is false. */
  readonly unpack?: boolean;
  /** Where they are unpacked; the namespace's default when absent. */
  readonly snapshotter?: string;
  /** Labels of the image. */
  readonly labels?: LabelValues;
  /** Called with every descriptor before it is fetched; what it returns is fetched as well. */
  readonly imageHandler?: ImageHandler;
  /** Put around the handler of all descriptors; may change their annotations, as remote snapshotters want it. */
  readonly imageHandlerWrapper?: ImageHandlerWrapper;
  /** Most contents at a time; unlimited when 0 or absent. */
  readonly maxConcurrentDownloads?: number;
  readonly progress?: ProgressListener;
  /** Asked by name, in order, before anything is fetched; the first that refuses fails the pull. The client's when absent. */
  readonly verifiers?: ReadonlyMap<string, ImageVerifier>;
}

/** Options of {@link Client.push}. */
export interface PushImageOptions extends Abortable {
  /** The client's when absent. */
  readonly resolver?: Resolver;
  /** What is pushed of an index; everything when absent. */
  readonly platform?: PlatformChoice;
  readonly imageHandlerWrapper?: ImageHandlerWrapper;
  /** Most uploads at a time; unlimited when 0 or absent. */
  readonly maxConcurrentUploads?: number;
  readonly progress?: ProgressListener;
}

/** Registries as containerd's own command finds them: `/etc/containerd/certs.d` and Docker's credentials. */
export async function openDefaultResolver(log: Logger): Promise<Resolver> {
  // Loaded with the first transfer: the HTTP client takes longer to load than all the rest.
  const { createAuthorizer, createRegistryResolver, dockerCredentials, hostsFromDirectories } =
    await import("@ctrd/registry");
  const credentials = dockerCredentials();
  const hosts = hostsFromDirectories({
    directories: ["/etc/containerd/certs.d"],
    authorizer: (host) => createAuthorizer(host, credentials),
    log,
  });
  return createRegistryResolver({ hosts });
}

export async function pull(client: Client, reference: string, options: PullImageOptions): Promise<Image> {
  const ctx = client.context(options);
  const { platform, imageHandler, imageHandlerWrapper, maxConcurrentDownloads, progress } = options;
  const verifiers = options.verifiers ?? client.verifiers;
  return reported(`pull ${reference}`, ctx.signal, async () => {
    const snapshotter = options.snapshotter ?? (await client.defaultSnapshotter(options));
    const { contentStore: content, diffService: applier, leasesService: leases, snapshotters } = client.services;
    const stores = { content, applier, leases, snapshotters, images: client.images };
    const record = await pullImage(ctx, stores, reference, {
      resolver: options.resolver ?? (await client.resolver()),
      platform: platform === "all" ? anyPlatform : client.platformMatcher(platform),
      ...(platform === "all" ? { manifestLimit: 0 } : {}),
      ...(options.unpack === false ? {} : { unpack: { snapshotter } }),
      labels: labelsOf(options.labels),
      ...(imageHandler === undefined ? {} : { imageHandler }),
      ...(imageHandlerWrapper === undefined ? {} : { imageHandlerWrapper }),
      ...(maxConcurrentDownloads === undefined ? {} : { maxConcurrentDownloads }),
      ...(progress === undefined ? {} : { progress }),
      ...(verifiers === undefined ? {} : { verifiers }),
    });
    return new Image(client, record);
  });
}

export async function push(
  client: Client,
  reference: string,
  what: Image | Descriptor,
  options: PushImageOptions,
): Promise<void> {
  const ctx = client.context(options);
  const { imageHandlerWrapper, maxConcurrentUploads, progress } = options;
  const target = what instanceof Image ? what.target : what;
  await reported(`push ${reference}`, ctx.signal, async () => {
    const resolver = options.resolver ?? (await client.resolver());
    await pushContent(ctx, target, {
      content: client.content,
      // The tag is for this one only.
      pusher: await resolver.pusher(ctx, reference.includes("@") ? reference : `${reference}@${target.digest}`),
      ...(options.platform === undefined ? {} : { platform: client.platformMatcher(options.platform) }),
      ...(imageHandlerWrapper === undefined ? {} : { imageHandlerWrapper }),
      ...(maxConcurrentUploads === undefined ? {} : { maxConcurrentUploads }),
      ...(progress === undefined ? {} : { progress }),
    });
  });
}
