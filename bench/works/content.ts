/** Content streams over gRPC in pieces of 1 MiB: Write of 256 MiB with commit, and Read of the same blob. */
import { createHash } from "node:crypto";
import { proxyContentStore } from "@ctrd/services";
import { randomBytesOf } from "@ctrd/testkit/fixtures";
import type { Side } from "../side.ts";
import { timed, type Work } from "../work.ts";

const chunkSize = 1 << 20;
const chunks = 256;
const chunk = (i: number): Buffer => data.subarray((i % 16) * chunkSize, ((i % 16) + 1) * chunkSize);
const data = randomBytesOf("bench", 16 * chunkSize);
let written = 0;

export const contentWrite: Work = {
  name: "content-write",
  unit: "MB/s",
  target: ">= 1.00",
  async run(side) {
    let digest = "";
    const total = await timed(async () => {
      digest = await write(side);
    });
    await proxyContentStore(side.channel).delete(side.ctx, digest);
    return rate(total);
  },
};

const blobs = new Map<string, string>();

export const contentRead: Work = {
  name: "content-read",
  unit: "MB/s",
  target: ">= 1.00",
  async prepare(side) {
    blobs.set(side.name, await write(side));
  },
  async run(side) {
    const digest = blobs.get(side.name) ?? "";
    return rate(await timed(() => read(side, digest)));
  },
};

/** Writes a blob that is not in the store yet, and returns its digest. */
async function write(side: Side): Promise<string> {
  const ref = `bench-${written++}`;
  const writer = await proxyContentStore(side.channel).writer(side.ctx, { ref });
  const hash = createHash("sha256");
  const first = Buffer.from(ref.padEnd(64));
  hash.update(first);
  await writer.write(first);
  for (let i = 0; i < chunks; i++) {
    await writer.write(chunk(i));
    hash.update(chunk(i));
  }
  const expected = `sha256:${hash.digest("hex")}`;
  await writer.commit(side.ctx, { expected, labels: new Map([["containerd.io/gc.root", "now"]]) });
  return expected;
}

/** Reads a blob in one stream, as clients that fetch whole blobs do. */
async function read(side: Side, digest: string): Promise<void> {
  const reader = await proxyContentStore(side.channel).reader(side.ctx, digest);
  let at = 0n;
  while (at < reader.size) at += BigInt((await reader.read(at, chunkSize)).length);
  await reader.close();
}

function rate(milliseconds: number): number {
  return (chunks * chunkSize) / 1e6 / (milliseconds / 1000);
}
