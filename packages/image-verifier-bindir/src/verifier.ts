/**
 * The verifier: asks one program after the other.
 *
 * @module
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { CallContext } from "@ctrd/core/context";
import { errnoOf, failedPrecondition, isKind, messageOf } from "@ctrd/core/errors";
import type { ImageVerifier, Judgement } from "@ctrd/core/image-verifier";
import type { Descriptor } from "@ctrd/core/records";
import type { Answer } from "./program.ts";
import { ask } from "./program.ts";

/** Options of {@link binDirVerifier}. */
export interface BinDirOptions {
  /** Where the programs are; when it is missing or empty, every image is accepted. */
  directory: string;
  /** Most programs that are asked, in order of name; 10 when absent, `Infinity`: all. */
  maxVerifiers?: number;
  /** How long each may take; 10 seconds when absent. */
  timeoutMs?: number;
}

/** What the programs read from stdin. */
const descriptorType = "application/vnd.oci.descriptor.v1+json";

/**
 * Makes a verifier of a directory of programs. They are looked for at every call.
 *
 * `verifyImage` throws `failed-precondition` when a program cannot be run or takes too long.
 */
export function binDirVerifier(options: BinDirOptions): ImageVerifier {
  const { directory, maxVerifiers = 10, timeoutMs = 10_000 } = options;
  return {
    async verifyImage(ctx, name, target): Promise<Judgement> {
      const programs = await programsOf(directory);
      if (programs.length === 0) return { ok: true, reason: `there are no image verifiers in ${directory}` };
      if (programs.length > maxVerifiers) {
        const skipped = programs.splice(maxVerifiers);
        ctx.log.warn({ directory, maxVerifiers, skipped }, "image verifiers are skipped: there are too many");
      }
      const reasons: string[] = [];
      for (const program of programs) {
        const answer = await askOne(ctx, join(directory, program), name, target, timeoutMs);
        if (!answer.accepted) return { ok: false, reason: `${program} (${answer.how}): ${answer.said}` };
        reasons.push(`${program}: ${answer.said}`);
      }
      return { ok: true, reason: reasons.join(", ") };
    },
  };
}

async function programsOf(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw failedPrecondition(`list the image verifiers in ${directory}: ${messageOf(error)}`, { cause: error });
  }
}

async function askOne(
  ctx: CallContext,
  path: string,
  name: string,
  target: Descriptor,
  timeoutMs: number,
): Promise<Answer> {
  const args = ["-name", name, "-digest", target.digest, "-stdin-media-type", descriptorType];
  try {
    const answer = await ask({ path, args, input: encodeDescriptor(target), timeoutMs, signal: ctx.signal });
    ctx.log.debug({ verifier: path, name, digest: target.digest, ...answer }, "image verifier answered");
    return answer;
  } catch (error) {
    if (ctx.signal.aborted || isKind(error, "canceled")) throw error;
    throw failedPrecondition(
      `ask image verifier ${path} about ${name}: ${messageOf(error)}; mend it, or take it out of the directory`,
      { cause: error },
    );
  }
}

/** As documents have descriptors. Sizes may be larger than numbers are exact. */
function encodeDescriptor({ mediaType, digest, size, annotations }: Descriptor): string {
  const more = annotations.size === 0 ? "" : `,"annotations":${JSON.stringify(Object.fromEntries(annotations))}`;
  return `{"mediaType":${JSON.stringify(mediaType)},"digest":${JSON.stringify(digest)},"size":${size}${more}}`;
}
