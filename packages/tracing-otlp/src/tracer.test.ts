import type { EndedSpan, SpanResource } from "@ctrd/core/tracing";
import { expect, it } from "vitest";
import { createTracer } from "./tracer.ts";

function tracerOf(ratio: number, byParent = true) {
  const ended: EndedSpan[] = [];
  const resources = new Set<SpanResource>();
  const processor = { ended: (span: EndedSpan, resource: SpanResource) => (ended.push(span), resources.add(resource)) };
  const resource = { "service.name": "t" };
  return { tracer: createTracer([processor], { ratio, byParent }, resource), ended, resources, resource };
}

const parent = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", state: "v=1" };

it("records spans with their parts, the inner first", () => {
  const { tracer, ended, resources, resource } = tracerOf(1);
  const before = BigInt(Date.now() - 1) * 1_000_000n;
  const root = tracer.start("root", "server", undefined, { a: 1 });
  const child = root.child("child", "client", { b: true });
  child.set({ c: "x" });
  child.end(new Error("broken"));
  child.end();
  root.end();
  const after = BigInt(Date.now() + 1) * 1_000_000n;
  expect(ended.map(({ name }) => name)).toEqual(["child", "root"]);
  const [inner, outer] = ended;
  expect(outer).toMatchObject({ parentId: "", kind: "server", attributes: { a: 1 }, context: { sampled: true } });
  expect(outer).not.toHaveProperty("error");
  expect(inner).toMatchObject({ kind: "client", error: "broken", attributes: { b: true, c: "x" } });
  expect(inner?.parentId).toBe(outer?.context.spanId);
  expect(inner?.context.traceId).toBe(outer?.context.traceId);
  expect(outer?.context.traceId).toMatch(/^[0-9a-f]{32}$/);
  const times = [before, outer?.startNs, inner?.startNs, inner?.endNs, outer?.endNs, after] as bigint[];
  expect(times).toEqual(times.toSorted((a, b) => Number(a - b)));
  expect([...resources]).toEqual([resource]);
});

it("goes on with the caller's trace, and does as it decided", () => {
  const { tracer, ended } = tracerOf(0);
  const recorded = tracer.start("a", "server", { ...parent, sampled: true });
  expect(recorded.context).toMatchObject({ traceId: parent.traceId, sampled: true, state: "v=1" });
  recorded.end();
  expect(ended[0]?.parentId).toBe(parent.spanId);
  const passed = tracerOf(1).tracer.start("b", "server", { ...parent, sampled: false });
  expect(passed.child("c").context).toEqual({ ...parent, sampled: false });
  passed.end();
  expect(ended).toHaveLength(1);
});

it("decides by itself where the caller's decision does not count", () => {
  const { tracer, ended } = tracerOf(1, false);
  tracer.start("a", "server", { ...parent, sampled: false }).end();
  expect(ended).toHaveLength(1);
});

it("records the part of all traces that it is told to", () => {
  const { tracer, ended } = tracerOf(0.25);
  const seen = new Set<string>();
  for (let i = 0; i < 4000; i++) {
    const span = tracer.start("a", "server", undefined);
    seen.add(span.context.traceId);
    span.end();
  }
  expect(seen.size).toBe(4000);
  expect(ended.length).toBeGreaterThan(800);
  expect(ended.length).toBeLessThan(1200);
});
