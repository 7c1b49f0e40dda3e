import { hostPlatform } from "@ctrd/core/platforms";
import { completeReference, shortReference } from "@ctrd/core/references";
import type { LayerFormat } from "@ctrd/images";
import { convertImage, matchPlatform } from "@ctrd/images";
import { CommandFailure } from "../failure.ts";
import type { OutputFlags } from "../output/format.ts";
import { toJson } from "../output/format.ts";
import { showProgress } from "../output/progress.ts";
import type { Session } from "../session.ts";
import { findImage } from "./find.ts";
import { matcherOf } from "./pull.ts";

/** Flags of `ctrd convert`. */
export interface ConvertFlags extends Omit<OutputFlags, "format"> {
  zstd?: boolean;
  gzip?: boolean;
  uncompressed?: boolean;
  estargz?: boolean;
  estargzPrefetch?: string[];
  oci?: boolean;
  platform?: string[];
  allPlatforms?: boolean;
  level?: number;
}

const formats: readonly LayerFormat[] = ["zstd", "gzip", "uncompressed", "estargz"];

/** Runs `ctrd convert`: the image `from`, as `to`. */
export async function convert(session: Session, from: string, to: string, flags: ConvertFlags): Promise<void> {
  const layers = formatOf(flags);
  const { name, target } = await findImage(session, from);
  const destination = completeReference(to);
  const { platform, level, estargzPrefetch: prefetch } = flags;
  const chosen = platform === undefined ? matchPlatform(hostPlatform()) : matcherOf(platform);
  const image = await (async () => {
    using display = showProgress(process.stdout, flags);
    return await convertImage(session.ctx, session, name, destination, {
      progress: display.listener,
      ...(layers === undefined ? {} : { layers }),
      ...(level === undefined ? {} : { level }),
      ...(prefetch === undefined ? {} : { prefetch }),
      ...(flags.oci === true ? { oci: true } : {}),
      ...(flags.allPlatforms === true ? {} : { platform: chosen }),
    });
  })();
  const digest = image.target?.digest ?? target.digest;
  if (flags.json === true) process.stdout.write(`${toJson({ stage: "done", name: image.name, digest })}\n`);
  else process.stdout.write(flags.quiet === true ? `${image.name}\n` : `${shortReference(image.name)}: ${digest}\n`);
}

function formatOf(flags: ConvertFlags): LayerFormat | undefined {
  const chosen = formats.filter((format) => flags[format] === true);
  if (chosen.length > 1) {
    throw new CommandFailure(`layers cannot be ${chosen.join(" and ")} at once`, { remedy: "choose one" });
  }
  const [format] = chosen;
  if (format === undefined && flags.oci !== true && flags.platform === undefined) {
    throw new CommandFailure("there is nothing to convert to", {
      remedy: `say what: ${formats.map((each) => `--${each}`).join(", ")}, --oci, --platform`,
    });
  }
  return format;
}
