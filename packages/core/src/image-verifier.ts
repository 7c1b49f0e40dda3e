/**
 * Image verifiers: they are asked, once it is known what a reference points at, whether it may be pulled.
 *
 * @module
 */
import type { CallContext } from "./context.ts";
import { failedPrecondition } from "./errors.ts";
import type { InitContext, PluginType } from "./plugin/index.ts";
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

/**
 * The verifiers of a daemon by their ids, for a plugin that pulls and requires {@link ImageVerifierPlugin} optionally.
 *
 * @throws ContainerdError `failed-precondition` when one has failed: images that nobody can judge must not come in
 */
export function workingVerifiers(ic: Pick<InitContext, "plugins" | "getById">): ReadonlyMap<string, ImageVerifier> {
  const broken = ic.plugins().find(({ type, state }) => type === ImageVerifierPlugin.name && state === "failed");
  if (broken === undefined) return ic.getById(ImageVerifierPlugin);
  throw failedPrecondition(`image verifier "${broken.id}" has failed, and nothing is pulled without it; disable it`);
}
