import { failedPrecondition } from "@ctrd/core/errors";
import type { ImageVerifier } from "@ctrd/core/image-verifier";
import { ImageVerifierPlugin } from "@ctrd/core/image-verifier";
import type { InitContext } from "@ctrd/core/plugin";

/** Images that nobody can judge must not come in: a verifier that is there must work. */
export function verifiersOf(ic: Pick<InitContext, "plugins" | "getById">): ReadonlyMap<string, ImageVerifier> {
  const broken = ic.plugins().find(({ type, state }) => type === ImageVerifierPlugin.name && state === "failed");
  if (broken === undefined) return ic.getById(ImageVerifierPlugin);
  throw failedPrecondition(`image verifier "${broken.id}" has failed, and nothing is pulled without it; disable it`);
}
