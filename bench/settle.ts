/**
 * The same memory for every run. In a virtual machine, memory that the guest has not used lately must first be given
 * by the host, which takes ten times as long as using it again (2.2 s a GB here, 0.28 s otherwise). A run that fills the
 * page cache would measure that, so what earlier runs left in the cache is dropped, and is then used again at once.
 */
import { createReadStream, existsSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { mustRun, type TestDaemon } from "@ctrd/testkit/fixtures";
import type { Side } from "./side.ts";

/** Writes dirty pages out and drops the page cache, then reads the blobs that a run will read: those of `daemon`, too. */
export async function settle(side: Side, cache: string, daemon: TestDaemon = side.daemon): Promise<void> {
  await mustRun("sync", []);
  await writeFile("/proc/sys/vm/drop_caches", "1");
  for (const directory of [join(daemon.root, "io.containerd.content.v1.content/blobs"), cache]) {
    await readAll(directory);
  }
  // The client's program was dropped as well.
  await side.ctr("version");
}

async function readAll(directory: string): Promise<void> {
  // A store that has no blob yet has no directory for them.
  if (!existsSync(directory)) return;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const stream = createReadStream(join(entry.parentPath, entry.name), { highWaterMark: 1 << 20 });
    for await (const _ of stream);
  }
}
