import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createContext, withNamespace, withoutLease } from "./context.ts";
import {
  asOperation,
  createOperations,
  describeOperation,
  inStage,
  operationService,
  stageText,
} from "./operations.ts";
import { timestampFromMillis } from "./records.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("operations", () => {
  it("are listed from their start to their end", () => {
    const operations = createOperations();
    const [one, two] = [operations.start({ name: "one" }), operations.start({ name: "two", passive: true })];
    expect(operations.list().map(({ id, name, passive }) => [id, name, passive])).toEqual([
      [1, "one", false],
      [2, "two", true],
    ]);
    one.end();
    expect(operations.list()).toEqual([two]);
  });

  it("tell who wants them and what they are about only when somebody asks", () => {
    const [object, caller] = [vi.fn(() => ({ kind: "image", id: "a" })), vi.fn(() => "ctr (pid 7)")];
    const operation = createOperations().start({
      name: "pull",
      get object() {
        return object();
      },
      get caller() {
        return caller();
      },
    });
    expect(object).not.toHaveBeenCalled();
    expect(caller).not.toHaveBeenCalled();
    expect(describeOperation(operation)).toBe('pull of image "a" by ctr (pid 7), for 0s');
    operation.concerns({ kind: "image", id: "b" });
    expect(describeOperation(operation)).toMatch(/^pull of image "b" by/);
  });

  it("are in the stages that were entered and not left, several at once or one in another", async () => {
    const operation = createOperations().start({ name: "create" });
    const ctx = createContext({ operation });
    const gate = Promise.withResolvers<void>();
    const outer = inStage(ctx, "outer", () => inStage(withNamespace(ctx, "n"), "inner", () => gate.promise));
    const beside = inStage(withoutLease(ctx), "beside", () => gate.promise, { object: { kind: "content", id: "c" } });
    vi.advanceTimersByTime(3210);
    expect(operation.stages.map(({ name }) => name)).toEqual(["outer", "inner", "beside"]);
    expect(stageText(operation)).toBe(' (stage: beside content "c", for 3.2s)');
    gate.resolve();
    await Promise.all([outer, beside]);
    expect(operation.stages).toEqual([]);
    await expect(inStage(ctx, "fails", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    expect(stageText(operation)).toBe("");
  });

  it("need not be: work without one is done all the same", async () => {
    expect(await inStage(createContext(), "stage", async () => 1)).toBe(1);
    expect(await asOperation(undefined, createContext(), { name: "x" }, async ({ operation }) => operation)).toBe(
      undefined,
    );
  });

  it("are told to clients with their stages, and what these wait for", async () => {
    const operations = createOperations();
    const one = operations.start({ name: "one", namespace: "n", object: { kind: "image", id: "a" }, caller: "me" });
    operations.start({ name: "two", passive: true }).enter("wait", { waitsFor: one });
    const service = operationService(operations);
    const startedAt = timestampFromMillis(Date.now());
    const first = { id: 1n, name: "one", namespace: "n", object: { kind: "image", id: "a" }, caller: "me", startedAt };
    expect(await service.list(createContext(), { passive: false })).toEqual([{ ...first, stages: [], passive: false }]);
    expect((await service.list(createContext(), { passive: true }))[1]).toMatchObject({
      caller: "the daemon itself",
      stages: [{ name: "wait", startedAt, waitsFor: 1n }],
    });
  });

  it("that no call asked for end with their work", async () => {
    const operations = createOperations();
    const work = asOperation(operations, createContext(), { name: "collect" }, async (ctx) => {
      expect(operations.list()).toEqual([ctx.operation]);
      throw new Error("no");
    });
    await expect(work).rejects.toThrow("no");
    expect(operations.list()).toEqual([]);
  });
});
