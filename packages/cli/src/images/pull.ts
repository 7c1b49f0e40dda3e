import type { Image } from "@ctrd/core/images";
import { hostPlatform } from "@ctrd/core/platforms";
import { completeReference, shortReference } from "@ctrd/core/references";
import { anyPlatform, matchPlatforms, parsePlatformText, pullImage } from "@ctrd/images";
import type { OutputFlags } from "../output/format.ts";
import { toJson } from "../output/format.ts";
import { showProgress } from "../output/progress.ts";
import type { Session } from "../session.ts";
import type { RegistryFlags } from "./registry.ts";
import { resolverOf } from "./registry.ts";
import { defaultSnapshotter } from "./snapshotter.ts";

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
  const image = await pullWithProgress(session, reference, flags, process.stdout);
  if (flags.json === true)
    process.stdout.write(`${toJson({ stage: "done", name: image.name, target: image.target })}\n`);
  else if (flags.quiet === true) process.stdout.write(`${image.name}\n`);
  else process.stdout.write(`${shortReference(image.name)}: ${image.target?.digest ?? ""}\n`);
}

/** Pulls and shows how it goes on. */
export async function pullWithProgress(
  session: Session,
  reference: string,
  flags: PullFlags,
  stream: NodeJS.WriteStream,
): Promise<Image> {
  using display = showProgress(stream, flags);
  const { platform, maxConcurrentDownloads } = flags;
  return await pullImage(session.ctx, session, completeReference(reference), {
    resolver: resolverOf(flags, session.ctx.log),
    progress: display.listener,
    ...(flags.unpack === false ? {} : { unpack: { snapshotter: flags.snapshotter ?? defaultSnapshotter() } }),
    ...(maxConcurrentDownloads === undefined ? {} : { maxConcurrentDownloads }),
    ...(platform === undefined
      ? {}
      : {
          platform: matchPlatforms(platform.map((text) => parsePlatformText(text, hostPlatform()))),
          manifestLimit: 0,
        }),
    ...(flags.allPlatforms === true ? { platform: anyPlatform, manifestLimit: 0 } : {}),
  });
}
