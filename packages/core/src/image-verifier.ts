/**
 * Image verifiers: they are asked, once it is known what a reference points at, whether it may be pulled.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import type { PluginType } from "./plugin/index.ts";
import { pluginType } from "./plugin/index.ts";
import type { Descriptor } from "./records.ts";

export const ImageVerifierPlugin: PluginType<ImageVerifier> = pluginType("io.containerd.image-verifier.v1");

/** What a verifier says of an image. */
export interface Judgement {
  readonly ok: boolean;
  /** Why; for people. */
  readonly reason: string;
}

/** Judges images before anything of them is fetched. */
export interface ImageVerifier {
  /**
   * Judges what `name` points at.
   *
   * @throws when it cannot tell: the pull then fails as well
   */
  verifyImage(ctx: CallContext, name: string, target: Descriptor): Promise<Judgement>;
}
