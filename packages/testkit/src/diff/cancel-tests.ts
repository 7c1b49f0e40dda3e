import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { withSignal } from "@ctrd/core/context";
import { expect, it } from "vitest";
import { expectKind } from "../expectations.ts";
import { randomBytesOf } from "../fixtures/generated-files.ts";
import { bind, mediaTypes } from "./bench.ts";
import type { CurrentDiffBench, DifferSuiteOptions } from "./suite.ts";

const tmpfs = { type: "tmpfs", source: "tmpfs", target: "", options: ["size=900m"] };

/** Calls that are cancelled: they end soon, say so, and leave nothing mounted and nothing half written. */
export function cancelTests(current: CurrentDiffBench, options: DifferSuiteOptions): void {
  const reasons: ["canceled" | "deadline-exceeded", unknown][] = [
    ["canceled", undefined],
    ["deadline-exceeded", new DOMException("late", "TimeoutError")],
  ];

  if (options.apply ?? true) {
    it.each(reasons)("ends an apply as %s", async (kind, reason) => {
      const { differ, ctx } = current();
      // Zeros compress to little, and take long to write.
      const layer = await current().layer([{ path: "zeros", data: Buffer.alloc(400 << 20) }], "gzip");
      const controller = new AbortController();
      const started = performance.now();
      setTimeout(() => controller.abort(reason), 50);
      await expectKind(differ.apply(withSignal(ctx, controller.signal), layer, [tmpfs]), kind);
      expect(performance.now() - started).toBeLessThan(3000);
      expect(await current().leftMounts()).toEqual([]);
      await differ.apply(ctx, await current().layer([{ path: "next" }]), [bind(current().directory())]);
    });

    it("does not begin an apply that is cancelled already", async () => {
      const { differ, ctx } = current();
      const root = current().directory();
      const layer = await current().layer([{ path: "file" }]);
      await expectKind(differ.apply(withSignal(ctx, AbortSignal.abort()), layer, [bind(root)]), "canceled");
      expect(readdirSync(root)).toEqual([]);
    });
  }

  if (!(options.compare ?? true)) return;
  it.each(reasons)("ends a compare as %s, and aborts its ingest", async (kind, reason) => {
    const { differ, ctx, content } = current();
    const upper = current().directory("upper");
    for (let n = 0; n < 30; n++) writeFileSync(join(upper, `f${n}`), randomBytesOf(`cancel/${n}`, 4 << 20));
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 30);
    const started = performance.now();
    const compared = differ.compare(withSignal(ctx, controller.signal), [], [bind(upper)], {
      mediaType: mediaTypes.gzip,
    });
    await expectKind(compared, kind);
    expect(performance.now() - started).toBeLessThan(3000);
    // A differ in another process aborts it a little later.
    await expect.poll(() => content.listStatuses(ctx, []), { timeout: 5000 }).toEqual([]);
    expect(await current().leftMounts()).toEqual([]);
    writeFileSync(join(upper, "f0"), "small again");
  });
}
