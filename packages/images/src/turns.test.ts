import { expect, it } from "vitest";
import { Turns } from "./turns.ts";

async function mostAtATime(limit: number, works: number): Promise<number> {
  const turns = new Turns(limit);
  let running = 0;
  let most = 0;
  const work = async (): Promise<void> => {
    running++;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running--;
  };
  await Promise.all(Array.from({ length: works }, () => turns.run(work)));
  return most;
}

it("lets so many run at a time, and all when there is no limit", async () => {
  expect(await mostAtATime(3, 20)).toBe(3);
  expect(await mostAtATime(1, 5)).toBe(1);
  expect(await mostAtATime(0, 20)).toBe(20);
});

it("gives the turn of one that fails to the next", async () => {
  const turns = new Turns(1);
  const failed = turns.run(() => Promise.reject(new Error("no")));
  const next = turns.run(async () => "yes");
  await expect(failed).rejects.toThrow("no");
  expect(await next).toBe("yes");
});
