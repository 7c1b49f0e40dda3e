import { describe, expect, it } from "vitest";
import { Failpoints } from "./failpoints.ts";
import { errnoOf, isKind } from "./errors.ts";

/** What each of `times` passes of `content.sync` came to. */
async function passes(settings: string, times: number): Promise<string[]> {
  const points = new Failpoints(settings);
  const results: string[] = [];
  for (let pass = 0; pass < times; pass++) {
    await points.at("content.sync").then(
      () => results.push("fine"),
      (error: unknown) => results.push(error instanceof Error ? error.message : "?"),
    );
  }
  return results;
}

describe("failpoints", () => {
  it("are off without a setting", async () => {
    const points = new Failpoints();
    expect(points.on).toBe(false);
    await points.at("content.sync");
    points.hit("content.sync");
  });

  it("act as often as they shall, then the next term does", async () => {
    const twice = "content.sync=2*error(no luck)->1*off->error(again);other.place=1*off";
    const failure = "failpoint content.sync: no luck";
    expect(await passes(twice, 4)).toEqual([failure, failure, "fine", "failpoint content.sync: again"]);
    expect(await passes("other.place=error(x)", 1)).toEqual(["fine"]);
  });

  it("act by chance", async () => {
    expect(await passes("content.sync=0%error(x)", 50)).toEqual(Array(50).fill("fine"));
    const half = (await passes("content.sync=50%error(x)", 400)).filter((one) => one === "fine").length;
    expect(half).toBeGreaterThan(100);
    expect(half).toBeLessThan(300);
    expect((await passes("content.sync=100%1*error(x)", 2))[1]).toBe("fine");
  });

  it("throw errors of a kind and of an errno", () => {
    const points = new Failpoints("a.b=error(unavailable: down);c.d=errno(ENOSPC)");
    const thrown = (name: string): unknown => {
      try {
        points.hit(name);
      } catch (error) {
        return error;
      }
      return undefined;
    };
    expect(isKind(thrown("a.b"), "unavailable")).toBe(true);
    expect(errnoOf(thrown("c.d"))).toBe("ENOSPC");
    expect(thrown("c.d")).toMatchObject({ errno: -28 });
  });

  it("sleep, also where nothing can be waited for, and pause until they are set anew", async () => {
    const points = new Failpoints("a.b=sleep(30);c.d=pause");
    const begin = performance.now();
    await points.at("a.b");
    points.hit("a.b");
    expect(performance.now() - begin).toBeGreaterThan(50);
    let passed = false;
    const paused = points.at("c.d").then(() => (passed = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect([points.hits("c.d"), passed]).toEqual([1, false]);
    points.set("");
    await paused;
    expect([points.on, points.hits("c.d")]).toEqual([false, 0]);
  });

  it.each([
    ["content.sync", "it is not of the form name=action"],
    ["=off", "it is not of the form name=action"],
    ["a.b=expldoe", '"expldoe" is none of'],
    ["a.b=x*error(y)", "is none of"],
    ["a.b=sleep", "is not of the form sleep(milliseconds)"],
    ["a.b=errno(EFOO)", "names no errno"],
    ["a.b=kill(9)", "has an argument"],
    ["a.b=off->", '"" is none of'],
  ])("refuse %s", (settings, why) => {
    const points = new Failpoints("a.b=off");
    const refusal = (): void => points.set(settings);
    expect(refusal).toThrow(why);
    expect(refusal).toThrow("invalid argument");
    expect(points.on).toBe(true);
  });
});
