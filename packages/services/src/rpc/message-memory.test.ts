import { describe, expect, test } from "vitest";
import { MessageMemory } from "./message-memory.ts";

describe("message memory", () => {
  test("gives memory again that was given back, cut to the length asked for", () => {
    const memory = new MessageMemory();
    const first = memory.take(1 << 20);
    memory.give(first);
    const again = memory.take((1 << 20) - 100);
    expect(again.length).toBe((1 << 20) - 100);
    expect(again.buffer).toBe(first.buffer);
  });

  test("never gives the same memory to two", () => {
    const memory = new MessageMemory();
    memory.give(memory.take(1 << 20));
    const [one, other] = [memory.take(1 << 20), memory.take(1 << 20)];
    expect(one.buffer).not.toBe(other.buffer);
  });

  test("does not spend a large buffer on a small message", () => {
    const memory = new MessageMemory();
    const large = memory.take(4 << 20);
    memory.give(large);
    expect(memory.take(100_000).buffer).not.toBe(large.buffer);
  });

  test("leaves buffers of others alone", () => {
    const memory = new MessageMemory();
    const foreign = Buffer.allocUnsafeSlow(128 << 10);
    memory.give(foreign);
    expect(memory.take(128 << 10).buffer).not.toBe(foreign.buffer);
  });

  test("keeps no more than 8 MiB", () => {
    const memory = new MessageMemory();
    const taken = Array.from({ length: 12 }, () => memory.take(1 << 20));
    for (const buffer of taken) memory.give(buffer);
    const known = new Set(taken.map(({ buffer }) => buffer));
    const again = Array.from({ length: 12 }, () => memory.take(1 << 20));
    expect(again.filter(({ buffer }) => known.has(buffer))).toHaveLength(8);
  });
});
