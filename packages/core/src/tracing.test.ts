import { expect, it } from "vitest";
import { createContext, withoutLease } from "./context.ts";
import type { Span } from "./tracing.ts";
import { formatTraceparent, parseTraceparent, traced } from "./tracing.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const spanId = "b7ad6b7169203331";

it("reads and writes traceparent", () => {
  const context = parseTraceparent(`00-${traceId}-${spanId}-01`, "a=b");
  expect(context).toEqual({ traceId, spanId, sampled: true, state: "a=b" });
  expect(formatTraceparent({ traceId, spanId, sampled: false, state: "" })).toBe(`00-${traceId}-${spanId}-00`);
  // A later version may have more, and is read as far as it is known.
  expect(parseTraceparent(`cc-${traceId}-${spanId}-03-what-follows`)?.sampled).toBe(true);
});

it.each([
  "",
  `00-${traceId}-${spanId}`,
  `00-${traceId}-${spanId}-01-more`,
  `ff-${traceId}-${spanId}-01`,
  `00-${"0".repeat(32)}-${spanId}-01`,
  `00-${traceId}-${"0".repeat(16)}-01`,
  `00-${traceId.toUpperCase()}-${spanId}-01`,
])("refuses %j", (text) => {
  expect(parseTraceparent(text)).toBeUndefined();
});

it("runs work as it is without a span, and as a part of the span of a context", async () => {
  const ctx = createContext();
  expect(await traced(ctx, "work", {}, async (inner) => inner)).toBe(ctx);

  const ended: [string, unknown][] = [];
  const span = (name: string): Span => ({
    context: { traceId, spanId, sampled: true, state: "" },
    child: (inner) => span(`${name}/${inner}`),
    set: () => {},
    end: (error) => void ended.push([name, error]),
  });
  const within = withoutLease(createContext({ lease: "l", span: span("rpc") }));
  await traced(within, "outer", {}, (inner) => traced(inner, "inner", {}, async () => 1));
  const failure = new Error("no");
  await expect(traced(within, "bad", {}, () => Promise.reject(failure))).rejects.toBe(failure);
  expect(ended).toEqual([
    ["rpc/outer/inner", undefined],
    ["rpc/outer", undefined],
    ["rpc/bad", failure],
  ]);
});
