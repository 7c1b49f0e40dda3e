/**
 * Asking image verifiers.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { ContainerdError, kindOf, messageOf, permissionDenied } from "@ctrd/core/errors";
import type { ImageVerifier } from "@ctrd/core/image-verifier";
import type { Descriptor } from "@ctrd/core/records";

/**
 * Asks each verifier whether `reference` may be pulled, in order, until one refuses.
 *
 * @param verifiers by the name that errors call them by
 * @throws ContainerdError `permission-denied` with the verifier that refuses and its reason; the verifier's own kind when
 * it cannot tell
 */
export async function verifyImage(
  ctx: CallContext,
  verifiers: ReadonlyMap<string, ImageVerifier>,
  reference: string,
  target: Descriptor,
): Promise<void> {
  for (const [name, verifier] of verifiers) {
    const { ok, reason } = await judge(ctx, name, verifier, reference, target);
    if (!ok) {
      throw permissionDenied(
        `image verifier "${name}" refuses the pull of ${reference} (${target.digest}), for this reason: ${reason}`,
      );
    }
    ctx.log.debug({ verifier: name, reference, digest: target.digest, reason }, "image verifier accepted");
  }
}

async function judge(
  ctx: CallContext,
  name: string,
  verifier: ImageVerifier,
  reference: string,
  target: Descriptor,
): ReturnType<ImageVerifier["verifyImage"]> {
  try {
    return await verifier.verifyImage(ctx, reference, target);
  } catch (error) {
    ctx.signal.throwIfAborted();
    const message = `pull ${reference}: image verifier "${name}" cannot tell about ${target.digest}: ${messageOf(error)}`;
    throw new ContainerdError(kindOf(error), message, { cause: error });
  }
}
