/** Started by crash.test.ts: makes, commits and removes snapshots until killed, printing each acknowledged change. */
import { writeSync } from "node:fs";
import { createContext } from "@ctrd/core/context";
import { openOverlaySnapshotter, probeOverlay } from "../index.ts";

const probe = probeOverlay(process.argv[2] ?? "");
if (!probe.supported) throw new Error(probe.reason);
const snapshotter = openOverlaySnapshotter(probe.root, { features: probe.features, syncRemove: true });
const ctx = createContext();
const tell = (text: string): void => void writeSync(1, `${text}\n`);

async function churn(worker: string): Promise<void> {
  for (let i = 0; ; i++) {
    const key = `${worker}-${i}`;
    await snapshotter.prepare(ctx, key, "");
    tell(`+ ${key}`);
    if (i % 3 === 1) {
      tell(`? ${key}`);
      await snapshotter.commit(ctx, `${key}-committed`, key);
      tell(`+ ${key}-committed`);
    }
    if (i % 3 === 2) {
      tell(`? ${key}`);
      await snapshotter.remove(ctx, key);
      tell(`- ${key}`);
    }
  }
}

await Promise.all(Array.from({ length: 6 }, (_, worker) => churn(`${process.pid}-${worker}`)));
