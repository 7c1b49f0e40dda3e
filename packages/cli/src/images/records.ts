/**
 * Commands that only change names: `tag` and `rmi`.
 *
 * @module
 */
import { isKind } from "@ctrd/core/errors";
import { completeReference, shortReference } from "@ctrd/core/references";
import { storeImage } from "@ctrd/images";
import { CommandFailure } from "../failure.ts";
import type { Session } from "../session.ts";
import { findImage } from "./find.ts";

/** Runs `ctrd tag`: a further name for an image. */
export async function tag(session: Session, source: string, target: string): Promise<void> {
  const image = await findImage(session, source);
  await storeImage(session.ctx, session.images, completeReference(target), image.target, image.labels);
}

/** Flags of `ctrd rmi`. */
export interface RemoveFlags {
  force?: boolean;
}

/**
 * Runs `ctrd rmi`. Goes on after a failure, so that one wrong name does not keep the others.
 *
 * @throws CommandFailure naming all that could not be removed
 */
export async function removeImages(session: Session, names: readonly string[], flags: RemoveFlags): Promise<void> {
  const problems: string[] = [];
  for (const name of names) {
    try {
      await removeImage(session, name, flags);
    } catch (error) {
      if (!(error instanceof CommandFailure)) throw error;
      problems.push(error.message);
    }
  }
  if (problems.length > 0) {
    throw new CommandFailure(problems.join("; "), { remedy: "list what is there with: ctrd images; ctrd ps -a" });
  }
}

async function removeImage(session: Session, text: string, { force = false }: RemoveFlags): Promise<void> {
  const { ctx, images } = session;
  const { name } = await findImage(session, text);
  const users = force ? [] : (await session.containers.list(ctx, [])).filter(({ image }) => image === name);
  if (users.length > 0) {
    const ids = users.map(({ id }) => id.slice(0, 12)).join(", ");
    throw new CommandFailure(`image "${shortReference(name)}" is used by container ${ids} (remove it, or use --force)`);
  }
  try {
    await images.delete(ctx, name);
  } catch (error) {
    if (!isKind(error, "not-found")) throw error;
  }
  process.stdout.write(`Untagged: ${shortReference(name)}\n`);
}
