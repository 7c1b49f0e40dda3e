import { completeReference, shortReference } from "@ctrd/core/references";
import type { OutputFlags } from "../output/format.ts";
import { toJson } from "../output/format.ts";
import { showProgress } from "../output/progress.ts";
import type { Session } from "../session.ts";
import { findImage } from "./find.ts";
import { matcherOf } from "./pull.ts";
import type { RegistryFlags } from "./registry.ts";
import { resolverOf } from "./registry.ts";

/** Flags of `ctrd push`. */
export interface PushFlags extends RegistryFlags, Omit<OutputFlags, "format"> {
  platform?: string[];
}

/** Runs `ctrd push`: the image `name`, to where `to` says or to where it is named for. */
export async function push(session: Session, name: string, to: string | undefined, flags: PushFlags): Promise<void> {
  const image = await findImage(session, name);
  const destination = to === undefined ? image.name : completeReference(to);
  {
    using display = showProgress(process.stdout, flags);
    await session.client.push(destination, image.target, {
      signal: session.signal,
      resolver: resolverOf(flags, session.ctx.log),
      progress: display.listener,
      ...(flags.platform === undefined ? {} : { platform: matcherOf(flags.platform) }),
    });
  }
  const { digest } = image.target;
  if (flags.json === true) process.stdout.write(`${toJson({ stage: "done", name: destination, digest })}\n`);
  else process.stdout.write(flags.quiet === true ? `${destination}\n` : `${shortReference(destination)}: ${digest}\n`);
}
