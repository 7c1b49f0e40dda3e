import { buffer } from "node:stream/consumers";
import { expect, it } from "vitest";
import { DetachFilter, parseDetachKeys } from "./detach-keys.ts";

it("reads keys", () => {
  expect(parseDetachKeys("ctrl-p,ctrl-q")).toEqual([16, 17]);
  expect(parseDetachKeys("ctrl-@,a,ctrl-]")).toEqual([0, 97, 29]);
  expect(() => parseDetachKeys("ctrl-p,alt-x")).toThrow('"alt-x"');
});

it.each([
  [["ab", "c"], "abc", 0],
  [["a\x10", "\x11b"], "a", 1],
  [["\x10x\x10", "\x10", "\x11"], "\x10x\x10", 1],
  [["\x11\x10"], "\x11", 0],
])("passes %j on as %j and detaches %d times", async (chunks, passed, times) => {
  let detached = 0;
  const filter = new DetachFilter([16, 17], () => detached++);
  for (const chunk of chunks) filter.write(chunk);
  filter.end();
  expect((await buffer(filter)).toString()).toBe(passed);
  expect(detached).toBe(times);
});
