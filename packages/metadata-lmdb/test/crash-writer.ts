/**
 * A process that writes records until it is killed. It prints a line for each write that was acknowledged.
 * Arguments: the directory of the database, and a tag that makes its names unique.
 */
import { writeSync } from "node:fs";
import { createContext } from "@ctrd/core/context";
import { openMetadataStore } from "../src/store.ts";
import { digestOf, MemoryContent } from "./memory-content.ts";
import { MemorySnapshotter } from "./memory-snapshotter.ts";

const [root = "", tag = ""] = process.argv.slice(2);
const content = new MemoryContent();
const backend = new MemorySnapshotter();
const store = await openMetadataStore({ root, content, snapshotters: new Map([["mem", backend]]) });
const ctx = createContext({ namespace: "ns" });
const snapshotter = store.snapshotters.get("mem") as MemorySnapshotter;
const acknowledge = (kind: string, name: string): void => void writeSync(1, `${kind} ${name}\n`);

async function work(worker: number): Promise<never> {
  for (let i = 0; ; i++) {
    const name = `${tag}-${worker}-${i}`;
    await store.leases.create(ctx, { id: name, labels: new Map() });
    acknowledge("lease", name);
    const target = { mediaType: "m", digest: digestOf(name), size: 1n, annotations: new Map<string, string>() };
    await store.images.create(ctx, { name, labels: new Map(), target, createdAt: undefined, updatedAt: undefined });
    acknowledge("image", name);
    const writer = await store.content.writer(ctx, { ref: name });
    await writer.write(Buffer.from(name));
    await writer.commit(ctx);
    acknowledge("content", digestOf(name));
    await snapshotter.prepare(ctx, `rw-${name}`, "");
    await snapshotter.commit(ctx, name, `rw-${name}`);
    acknowledge("snapshot", name);
    if (i % 4 === 3) {
      await store.images.delete(ctx, name);
      acknowledge("deleted", name);
    }
  }
}

await Promise.all(Array.from({ length: 16 }, (_unused, worker) => work(worker)));
