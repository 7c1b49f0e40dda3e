import { describe, expect, it } from "vitest";
import { exportedFile, importConditions } from "./package-exports.ts";

const conditions = importConditions([], "");
const fileOf = (exports: unknown, subpath = "./plugin"): string | undefined =>
  exportedFile({ exports }, subpath, conditions);

describe("exportedFile", () => {
  it.each<[unknown, string | undefined]>([
    [{ "./plugin": "./a.js" }, "./a.js"],
    [{ "./plugin": { types: "./a.d.ts", import: "./a.js", default: "./b.js" } }, "./a.js"],
    [{ "./plugin": { browser: "./a.js", node: { require: "./b.cjs", default: "./c.js" } } }, "./c.js"],
    [{ "./plugin": { node: { require: "./b.cjs" }, default: "./c.js" } }, "./c.js"],
    [{ "./plugin": ["bare", null, "./a.js"] }, "./a.js"],
    [{ "./*": "./dist/*.js" }, "./dist/plugin.js"],
    [{ "./*": "./dist/*.js", "./plu*": { default: "./lib/*/*.js" } }, "./lib/gin/gin.js"],
    [{ "./*": "./dist/*.js", "./plugin": null }, undefined],
    [{ "./plugin": { require: "./b.cjs" } }, undefined],
    [{ "./plugin": "../outside.js" }, undefined],
    [{ ".": "./a.js" }, undefined],
    ["./a.js", undefined],
    [undefined, "./plugin"],
  ])("%j", (exports, file) => {
    expect(fileOf(exports)).toBe(file);
  });

  it("takes the main entry in both its forms", () => {
    expect(fileOf("./a.js", ".")).toBe("./a.js");
    expect(fileOf({ import: "./a.js" }, ".")).toBe("./a.js");
    expect(fileOf({ ".": "./a.js" }, ".")).toBe("./a.js");
  });

  it("knows the conditions that Node was started with", () => {
    const started = importConditions(["--conditions=one", "-C", "two", "--inspect"], " --conditions three  -C=four");
    expect([...started]).toEqual(["node", "import", "module-sync", "default", "three", "four", "one", "two"]);
    expect(exportedFile({ exports: { "./plugin": { two: "./t.ts", default: "./d.js" } } }, "./plugin", started)).toBe(
      "./t.ts",
    );
  });
});
