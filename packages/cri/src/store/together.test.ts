import { createContext } from "@ctrd/core/context";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, it } from "vitest";
import { together } from "./together.ts";

it("does both at once and returns what both made", async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  // Each waits for the other: one after the other they would never end.
  const first = async (): Promise<string> => promise;
  const second = async (): Promise<number> => {
    resolve("first");
    return 2;
  };
  expect(await together(createContext(), first, second)).toEqual(["first", 2]);
});

it("gives the other up when one fails, waits for its end, and fails as the first did", async () => {
  let ended = false;
  const failing = together(
    createContext(),
    async ({ signal }) => {
      await sleep(60_000, undefined, { signal }).catch(() => {});
      await sleep(20);
      ended = true;
      throw signal.reason;
    },
    async () => {
      throw new Error("no network");
    },
  );
  await expect(failing).rejects.toThrow("no network");
  expect(ended).toBe(true);
});

it("is given up with the call", async () => {
  const caller = new AbortController();
  const wait = ({ signal }: { signal: AbortSignal }): Promise<void> => sleep(60_000, undefined, { signal });
  const waiting = together(createContext({ signal: caller.signal }), wait, wait);
  caller.abort(new Error("the caller left"));
  await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
});
