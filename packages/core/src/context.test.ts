import { describe, expect, it } from "vitest";
import {
  createContext,
  requireNamespace,
  untilAborted,
  withLease,
  withNamespace,
  withoutLease,
  withSignal,
} from "./context.ts";
import { kindOf } from "./errors.ts";

function kindThrown(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    return kindOf(error);
  }
  return "none";
}

describe("call contexts", () => {
  it("require a namespace only when asked for it", () => {
    expect(requireNamespace(createContext({ namespace: "k8s.io" }))).toBe("k8s.io");
    expect(kindThrown(() => requireNamespace(createContext()))).toBe("failed-precondition");
    expect(() => requireNamespace(createContext())).toThrow("namespace is required");
    expect(kindThrown(() => requireNamespace(createContext({ namespace: "a/b" })))).toBe("invalid-argument");
  });

  it("are derived without changing the original", () => {
    const ctx = createContext({ namespace: "a" });
    const leased = withLease(withNamespace(ctx, "b"), "l");
    expect([leased.namespace, leased.lease, ctx.namespace, ctx.lease]).toEqual(["b", "l", "a", undefined]);
    expect("lease" in withoutLease(leased)).toBe(false);
  });

  it("abort with either signal", () => {
    const outer = new AbortController();
    const inner = new AbortController();
    const ctx = createContext({ signal: outer.signal });
    expect(ctx.signal.aborted).toBe(false);
    const both = withSignal(ctx, inner.signal);
    inner.abort();
    expect([both.signal.aborted, ctx.signal.aborted]).toEqual([true, false]);
    outer.abort();
    expect(ctx.signal.aborted).toBe(true);
    expect(createContext().signal.aborted).toBe(false);
  });

  it("leave a promise when they are aborted", async () => {
    const abort = new AbortController();
    expect(await untilAborted(Promise.resolve(1), abort.signal)).toBe(1);
    const { promise, reject } = Promise.withResolvers<number>();
    const waiting = untilAborted(promise, abort.signal);
    abort.abort();
    await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
    await expect(untilAborted(promise, abort.signal)).rejects.toMatchObject({ name: "AbortError" });
    reject(new Error("nobody waits any more"));
  });
});
