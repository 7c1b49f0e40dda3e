/**
 * Finding an image by what people type: a reference in full or short, a digest or the beginning of one.
 *
 * @module
 */
import { isKind } from "@ctrd/core/errors";
import type { Image } from "@ctrd/core/images";
import { completeReference } from "@ctrd/core/references";
import { CommandFailure } from "../failure.ts";
import type { Session } from "../session.ts";

/** An image that points somewhere; records without a target are no use. */
export type NamedImage = Image & { target: NonNullable<Image["target"]> };

/** The shortest beginning of a digest that is looked for. */
const minPrefix = 3;

/** @throws CommandFailure when none or more than one is meant */
export async function findImage(session: Session, text: string): Promise<NamedImage> {
  const found = await lookUp(session, text);
  if (found !== undefined) return found;
  throw new CommandFailure(`no image "${text}" in namespace "${session.ctx.namespace}"`, {
    remedy: `get it with: ctrd pull ${text}; list what is there with: ctrd images`,
  });
}

/** As {@link findImage}, undefined when there is none. */
export async function lookUp(session: Session, text: string): Promise<NamedImage | undefined> {
  for (const name of namesOf(text)) {
    const image = await getImage(session, name);
    if (image !== undefined) return image;
  }
  const prefix = text.replace(/^sha256:/, "");
  if (!/^[0-9a-f]+$/.test(prefix) || prefix.length < minPrefix) return undefined;
  const images = (await session.images.list(session.ctx, [])).filter(hasTarget);
  const fitting = images.filter(({ target }) => target.digest.startsWith(`sha256:${prefix}`));
  const digests = new Set(fitting.map(({ target }) => target.digest));
  if (digests.size > 1) {
    const list = fitting.map(({ name, target }) => `${target.digest.slice(7, 19)} (${name})`).join(", ");
    throw new CommandFailure(`image "${text}" is ambiguous: ${list}`, { remedy: "write more of the digest" });
  }
  return fitting[0];
}

/** The name as it is typed, then as it is completed. */
function namesOf(text: string): string[] {
  try {
    return [...new Set([text, completeReference(text)])];
  } catch (error) {
    if (isKind(error, "invalid-argument")) return [text];
    throw error;
  }
}

async function getImage(session: Session, name: string): Promise<NamedImage | undefined> {
  try {
    const image = await session.images.get(session.ctx, name);
    return hasTarget(image) ? image : undefined;
  } catch (error) {
    if (isKind(error, "not-found")) return undefined;
    throw error;
  }
}

/** Whether a record points at something. */
export function hasTarget(image: Image): image is NamedImage {
  return image.target !== undefined;
}
