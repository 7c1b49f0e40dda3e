import { describe, expect, it } from "vitest";
import { notFound } from "@ctrd/core/errors";
import { createLogger } from "./log.ts";

function lines(options: {
  level: "info" | "debug" | "warning" | "";
  format: "json" | "text" | "";
}): [ReturnType<typeof createLogger>["log"], string[]] {
  const written: string[] = [];
  return [createLogger({ ...options, write: (line) => void written.push(line) }).log, written];
}

describe("createLogger", () => {
  it("writes JSON lines with level names and RFC 3339 times", () => {
    const [log, written] = lines({ level: "", format: "json" });
    log.debug({}, "hidden");
    log.child({ plugin: "p" }).info({ n: 1 }, "shown");
    const line = JSON.parse(written[0] ?? "") as Record<string, unknown>;
    expect(written.length).toBe(1);
    expect(line).toMatchObject({ level: "info", plugin: "p", n: 1, msg: "shown" });
    expect(String(line["time"])).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  });

  it("writes readable text", () => {
    const [log, written] = lines({ level: "warning", format: "text" });
    log.info({}, "hidden");
    log.warn({ a: "x", b: "two words", c: 3 }, "careful");
    expect(written.join("")).toMatch(/^\S+Z WARN {2}careful a=x b="two words" c=3\n$/);
  });

  it("describes errors with kind and causes, with stacks only when verbose", () => {
    const error = notFound('image "x"', { cause: Object.assign(new Error("gone"), { code: "ENOENT" }) });
    const [log, written] = lines({ level: "info", format: "json" });
    log.error({ err: error }, "failed");
    const described = (JSON.parse(written[0] ?? "") as { err: unknown }).err;
    expect(described).toEqual({
      message: 'image "x": not found',
      kind: "not-found",
      cause: { message: "gone", code: "ENOENT" },
    });
    const [verbose, more] = lines({ level: "debug", format: "json" });
    verbose.error({ err: error }, "failed");
    expect(more[0]).toContain("stack");
  });

  it("changes level and format of every logger at once", () => {
    const written: string[] = [];
    const { log, configure } = createLogger({
      level: "info",
      format: "json",
      write: (line) => void written.push(line),
    });
    const child = log.child({ plugin: "p" });
    child.debug({}, "hidden");
    configure({ level: "debug", format: "text" });
    child.debug({}, "shown");
    configure({ level: "error", format: "json" });
    child.warn({}, "hidden again");
    expect(written.join("")).toMatch(/^\S+ DEBUG shown plugin=p\n$/);
  });
});
