import { describe, expect, it } from "vitest";
import { computedImportsOf, forbiddenImport, importsOf, layerOf, mayComputeImports } from "./layers.ts";

describe("layers", () => {
  it("knows the layer of every folder", () => {
    expect(["core", "sys", "testkit", "snapshot-overlayfs", "server"].map(layerOf)).toEqual([
      "core",
      "lib",
      "testkit",
      "plugin",
      "app",
    ]);
  });

  it("refuses a plugin that imports a plugin, and a core that imports anything", () => {
    expect(forbiddenImport("gc-scheduler", "metadata-lmdb", false)).toContain(
      'must not import plugin package "metadata-lmdb"',
    );
    expect(forbiddenImport("core", "api", false)).toContain("nothing");
    expect(forbiddenImport("sys", "grpc", false)).toBeDefined();
    expect(forbiddenImport("server", "grpc", false)).toBeUndefined();
    expect(forbiddenImport("grpc", "services", false)).toBeUndefined();
  });

  it("lets only tests use the testkit", () => {
    expect(forbiddenImport("content-local", "testkit", true)).toBeUndefined();
    expect(forbiddenImport("content-local", "testkit", false)).toBeDefined();
  });

  it("lets apps and one file of testkit import what is not a literal", () => {
    expect(mayComputeImports("server", "packages/server/src/app/discover.ts")).toBe(true);
    expect(mayComputeImports("testkit", "packages/testkit/src/daemon/load-server.ts")).toBe(true);
    expect(mayComputeImports("testkit", "packages/testkit/src/daemon/index.ts")).toBe(false);
    expect(mayComputeImports("grpc", "packages/grpc/src/plugin.ts")).toBe(false);
    const source = 'await import("a");\nawait import(name);\ntype T = import("b").C;\nimport(\n  `./${x}`);\n';
    expect(computedImportsOf(source)).toEqual([2, 4]);
    expect(computedImportsOf("client.import(archive);\nimport(archive: Readable): Image[] {\n")).toEqual([]);
  });

  it("finds every form of import", () => {
    const source =
      'import a from "x";\nimport type { b } from "./y.ts";\nexport { c } from "z";\nimport "w";\nawait import("v");\n';
    expect(importsOf(source).map((found) => `${found.line} ${found.specifier}`)).toEqual([
      "1 x",
      "2 ./y.ts",
      "3 z",
      "4 w",
      "5 v",
    ]);
  });
});
