import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createContext } from "@ctrd/core/context";
import { expect, it } from "vitest";
import { openOverlaySnapshotter, probeOverlay } from "./index.ts";

const ctx = createContext();

/** Runs the churn program on `root`, kills it after `lines` lines, and notes what it acknowledged. */
async function runAndKill(root: string, lines: number, known: Map<string, string>): Promise<void> {
  const program = fileURLToPath(new URL("./testing/churn.ts", import.meta.url));
  const child = spawn(process.execPath, ["--conditions=ctrd-source", program, root]);
  let seen = 0;
  for await (const line of createInterface(child.stdout)) {
    const [sign = "", key = ""] = line.split(" ");
    known.set(key, sign);
    if (++seen === lines) child.kill("SIGKILL");
  }
  if (child.signalCode === null) await once(child, "exit");
  expect(child.signalCode).toBe("SIGKILL");
}

it("loses nothing that was acknowledged, and no directory, to kill -9", async () => {
  const root = mkdtempSync(join(tmpdir(), "overlay-crash-"));
  const known = new Map<string, string>();
  try {
    for (let round = 0; round < 4; round++) {
      await runAndKill(root, 60 + round * 45, known);
      const probe = probeOverlay(root);
      if (!probe.supported) throw new Error(probe.reason);
      const snapshotter = openOverlaySnapshotter(root, { features: probe.features, upperdirLabel: true });
      const owned: string[] = [];
      const names = new Set<string>();
      for await (const info of snapshotter.walk(ctx, [])) {
        names.add(info.name);
        owned.push(info.labels.get("containerd.io/snapshot/overlay.upperdir")?.split("/").at(-2) ?? "");
      }
      for (const [key, sign] of known) {
        if (sign === "+") expect(names, `acknowledged ${key}`).toContain(key);
        if (sign === "-") expect(names, `removed ${key}`).not.toContain(key);
      }
      await snapshotter.cleanup?.(ctx);
      expect(readdirSync(join(root, "snapshots")).toSorted()).toEqual(owned.toSorted());
      await snapshotter.close();
    }
    expect(known.size).toBeGreaterThan(150);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
