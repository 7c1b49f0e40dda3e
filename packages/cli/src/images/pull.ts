import { resolve } from "node:path";
import type { DaemonPullOptions, Image } from "@ctrd/client";
import { isKind } from "@ctrd/core/errors";
import { hostPlatform } from "@ctrd/core/platforms";
import { completeReference, shortReference } from "@ctrd/core/references";
import { matchPlatforms, parsePlatformText } from "@ctrd/images";
import type { PlatformMatcher } from "@ctrd/images";
import type { OutputFlags } from "../output/format.ts";
import { toJson } from "../output/format.ts";
import type { ProgressDisplay } from "../output/progress-display.ts";
import { showProgress } from "../output/progress.ts";
import type { Session } from "../session.ts";
import type { RegistryFlags } from "./registry.ts";
import { credentialSource, resolverOf } from "./registry.ts";
import { chosenSnapshotter } from "./snapshotter.ts";

/** Flags of `ctrd pull`. */
export interface PullFlags extends RegistryFlags, Omit<OutputFlags, "format"> {
  platform?: string[];
  allPlatforms?: boolean;
  unpack?: boolean;
  snapshotter?: string;
  maxConcurrentDownloads?: number;
  local?: boolean;
}

/** Runs `ctrd pull`. */
export async function pull(session: Session, reference: string, flags: PullFlags): Promise<void> {
  const { name, target } = await pullWithProgress(session, reference, flags, process.stdout);
  if (flags.json === true) process.stdout.write(`${toJson({ stage: "done", name, digest: target.digest })}\n`);
  else process.stdout.write(flags.quiet === true ? `${name}\n` : `${shortReference(name)}: ${target.digest}\n`);
}

/** Pulls and shows how it goes on: by the daemon itself if it can. */
export async function pullWithProgress(
  session: Session,
  reference: string,
  flags: PullFlags,
  stream: NodeJS.WriteStream,
): Promise<Image> {
  using display = showProgress(stream, flags);
  const name = completeReference(reference);
  if (canDaemonPull(flags)) {
    try {
      return await session.client.pullByDaemon(name, daemonOptions(session, flags, display));
    } catch (error) {
      // containerd 1.6 has no Transfer service.
      if (!isKind(error, "not-implemented")) throw error;
    }
  }
  const { platform, unpack = true, maxConcurrentDownloads = 0 } = flags;
  const snapshotter = chosenSnapshotter(flags.snapshotter);
  return await session.client.pull(name, {
    signal: session.signal,
    resolver: resolverOf(flags, session.ctx.log),
    progress: display.listener,
    unpack,
    maxConcurrentDownloads,
    ...(snapshotter === undefined ? {} : { snapshotter }),
    ...(platform === undefined ? {} : { platform: matcherOf(platform) }),
    ...(flags.allPlatforms === true ? { platform: "all" } : {}),
  });
}

/** Whether a transfer can be told all that the flags say. */
function canDaemonPull({ local, skipVerify, hostsDir, maxConcurrentDownloads }: PullFlags): boolean {
  if (local === true || skipVerify === true || maxConcurrentDownloads !== undefined) return false;
  return hostsDir === undefined || hostsDir.length === 1;
}

function daemonOptions({ signal }: Session, flags: PullFlags, display: ProgressDisplay): DaemonPullOptions {
  const { platform, allPlatforms, plainHttp = false, unpack = true } = flags;
  const snapshotter = chosenSnapshotter(flags.snapshotter);
  const [directory] = flags.hostsDir ?? [];
  return {
    ...{ signal, unpack, plainHttp, credentials: credentialSource(flags), progress: display.listener },
    ...(directory === undefined ? {} : { hostsDirectory: resolve(directory) }),
    ...(snapshotter === undefined ? {} : { snapshotter }),
    ...(platform === undefined ? {} : { platforms: platform.map((text) => parsePlatformText(text, hostPlatform())) }),
    ...(allPlatforms === true ? { platforms: "all" } : {}),
  };
}

/** The matcher of platforms as people write them. */
export function matcherOf(platforms: readonly string[]): PlatformMatcher {
  return matchPlatforms(platforms.map((text) => parsePlatformText(text, hostPlatform())));
}
