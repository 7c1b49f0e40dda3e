import { isKind } from "@ctrd/core/errors";

/** Waits for a removal; that what is to be removed is gone already is fine. */
export async function unlessGone(removal: Promise<unknown>): Promise<void> {
  try {
    await removal;
  } catch (error) {
    if (!isKind(error, "not-found")) throw error;
  }
}
