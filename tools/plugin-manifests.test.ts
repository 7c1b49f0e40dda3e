// What makes a package of ours one that a daemon finds by itself, and that shares its core with the daemon.
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { layerOf } from "./layers.ts";

interface PluginManifest {
  readonly keywords?: readonly string[];
  readonly exports: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly ctrd?: unknown;
}

const packages = resolve(import.meta.dirname, "../packages");
const manifestOf = (folder: string): PluginManifest =>
  JSON.parse(readFileSync(resolve(packages, folder, "package.json"), "utf8")) as PluginManifest;

const folders = readdirSync(packages, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() && readdirSync(resolve(packages, entry.name)).includes("package.json") ? [entry.name] : [],
);
/** Core's own `./plugin` is the contract. */
const withEntry = folders.filter((folder) => folder !== "core" && manifestOf(folder).exports["./plugin"] !== undefined);

describe("plugin packages", () => {
  it("are of the plugin layer, and at least those of the default set", () => {
    expect(withEntry.filter((folder) => layerOf(folder) !== "plugin")).toEqual([]);
    const builtins = readFileSync(resolve(packages, "server/src/builtins.ts"), "utf8");
    const imported = [...builtins.matchAll(/import\("@ctrd\/([\w-]+)\/plugin"\)/g)].map((match) => match[1] ?? "");
    expect(imported.length).toBeGreaterThan(5);
    expect(imported.filter((folder) => !withEntry.includes(folder))).toEqual([]);
  });

  it.each(withEntry)("%s says so, and leaves core to the daemon", (folder) => {
    const { ctrd, keywords, dependencies, peerDependencies } = manifestOf(folder);
    expect(ctrd).toEqual({ plugin: "./plugin", api: 1 });
    expect(keywords).toContain("ctrd-plugin");
    expect(peerDependencies?.["@ctrd/core"]).toMatch(/^\^\d/);
    expect(Object.keys(dependencies ?? {})).not.toContain("@ctrd/core");
  });

  it.each(folders.filter((folder) => !withEntry.includes(folder)))("%s has no plugin and claims none", (folder) => {
    const { ctrd, keywords = [] } = manifestOf(folder);
    expect(ctrd).toBeUndefined();
    expect(keywords).not.toContain("ctrd-plugin");
  });
});
