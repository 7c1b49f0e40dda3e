import type { Image } from "@ctrd/client";
import { hostPlatform } from "@ctrd/core/platforms";
import { completeReference, shortReference } from "@ctrd/core/references";
import { matchPlatforms, parsePlatformText } from "@ctrd/images";
import type { PlatformMatcher } from "@ctrd/images";
import type { OutputFlags } from "../output/format.ts";
import { toJson } from "../output/format.ts";
import { showProgress } from "../output/progress.ts";
import type { Session } from "../session.ts";
import type { RegistryFlags } from "./registry.ts";
import { resolverOf } from "./registry.ts";
import { chosenSnapshotter } from "./snapshotter.ts";

/** Flags of `ctrd pull`. */
export interface PullFlags extends RegistryFlags, Omit<OutputFlags, "format"> {
  platform?: string[];
  allPlatforms?: boolean;
  unpack?: boolean;
  snapshotter?: string;
  maxConcurrentDownloads?: number;
}

/** Runs `ctrd pull`. */
export async function pull(session: Session, reference: string, flags: PullFlags): Promise<void> {
  const { name, target } = await pullWithProgress(session, reference, flags, process.stdout);
  if (flags.json === true) process.stdout.write(`${toJson({ stage: "done", name, digest: target.digest })}\n`);
  else process.stdout.write(flags.quiet === true ? `${name}\n` : `${shortReference(name)}: ${target.digest}\n`);
}

/** Pulls and shows how it goes on. */
export async function pullWithProgress(
  session: Session,
  reference: string,
  flags: PullFlags,
  stream: NodeJS.WriteStream,
): Promise<Image> {
  using display = showProgress(stream, flags);
  const { signal } = session;
  const { platform, unpack = true, maxConcurrentDownloads = 0 } = flags;
  const snapshotter = chosenSnapshotter(flags.snapshotter);
  return await session.client.pull(completeReference(reference), {
    signal,
    resolver: resolverOf(flags, session.ctx.log),
    progress: display.listener,
    unpack,
    maxConcurrentDownloads,
    ...(snapshotter === undefined ? {} : { snapshotter }),
    ...(platform === undefined ? {} : { platform: matcherOf(platform) }),
    ...(flags.allPlatforms === true ? { platform: "all" } : {}),
  });
}

/** The matcher of platforms as people write them. */
export function matcherOf(platforms: readonly string[]): PlatformMatcher {
  return matchPlatforms(platforms.map((text) => parsePlatformText(text, hostPlatform())));
}
