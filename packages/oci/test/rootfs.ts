/** A root filesystem on disk. */
import { busyboxEntries, mustRun, tarBuffer } from "@ctrd/testkit/fixtures";

/** Unpacks the busybox image of the testkit into a directory. */
export async function unpackBusybox(directory: string): Promise<void> {
  await mustRun("tar", ["-x", "-C", directory], { input: tarBuffer(await busyboxEntries("hardlink")) });
}
