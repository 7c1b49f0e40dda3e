import { describe, expect, it } from "vitest";
import { referencesOf } from "./file-references.ts";

describe("references of a module", () => {
  it.each([
    ['new Worker(new URL("./hash-worker.js", import.meta.url));', ["./hash-worker.js"]],
    ['new Worker(new URL("hash-worker.js", import.meta.url));', ["hash-worker.js"]],
    [
      'const f = import.meta.url.endsWith(".ts") ? "./w.ts" : "./w.js"; new Worker(new URL(f, import.meta.url));',
      ["./w.ts", "./w.js"],
    ],
    ['readFileSync(new URL("../package.json", import.meta.url));', ["../package.json"]],
    ['new Worker(path.join(__dirname, "lib", "worker.js"));', ["lib/worker.js"]],
    ['readFileSync(join(import.meta.dirname, "data.bin"));', ["data.bin"]],
    ['import a from "./a.js";\nexport * from "./b.js";\nawait import("./c.js");\nrequire("./d.js");', []],
    ['new URL("https://example.com/x");', []],
  ])("%s", (source, paths) => {
    expect(referencesOf(source).paths).toEqual(paths);
  });

  it.each([
    ['createRequire(import.meta.url)("koffi");', ["koffi"]],
    ['const load = createRequire(import.meta.url);\nload("koffi");\nload.resolve("./x.cjs");', ["koffi", "./x.cjs"]],
    ['const $r = module.createRequire(import.meta.url);\n$r("a");\nother$r("b");', ["a"]],
    ['require("a");', []],
  ])("%s", (source, required) => {
    expect(referencesOf(source).required).toEqual(required);
  });
});
