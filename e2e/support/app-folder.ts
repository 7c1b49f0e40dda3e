/** App folders as an operator has them: a package.json, and what npm installs for it. */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { repository } from "./peers.ts";

/** A package that somebody else wrote. */
export interface ForeignPackage {
  readonly manifest?: Record<string, unknown>;
  /** Its plugin entry. */
  readonly plugin: string;
}

export interface AppOptions {
  /** Packages of this repository, by folder; those that are dependencies, and those that are only installed. */
  readonly own: readonly string[];
  readonly installed?: readonly string[];
  /** Packages of others by name; all are dependencies. */
  readonly foreign?: Readonly<Record<string, ForeignPackage>>;
  /** Further fields of the app's package.json. */
  readonly manifest?: Record<string, unknown>;
}

/** The snapshotter of the tests: in JavaScript, without a build, on a library of ours. */
export const copyingSnapshotter: ForeignPackage = {
  plugin: `\
import { SnapshotPlugin } from "@ctrd/core/snapshots";
import { openNativeSnapshotter } from "@ctrd/snapshot-native";

export default {
  type: SnapshotPlugin,
  id: "copying",
  initFn(ic) {
    const snapshotter = openNativeSnapshotter(ic.root);
    ic.onClose(() => snapshotter.close());
    ic.meta.exports.set("root", ic.root);
    return snapshotter;
  },
};
`,
};

/** A plugin entry of a plugin that does nothing; `fields` are added to its registration. */
export function idlePlugin(type: string, id: string, fields = ""): ForeignPackage {
  return { plugin: `export default { type: { name: "${type}" }, id: "${id}", initFn: () => 1, ${fields} };\n` };
}

/** Makes an app folder at `dir`, anew. */
export function createApp(dir: string, options: AppOptions): void {
  rmSync(dir, { recursive: true, force: true });
  const foreign = Object.entries(options.foreign ?? {});
  const names = [...options.own.map((folder) => `@ctrd/${folder}`), ...foreign.map(([name]) => name)];
  const dependencies = Object.fromEntries(names.map((name) => [name, "*"]));
  writeJson(join(dir, "package.json"), {
    name: "app",
    private: true,
    type: "module",
    dependencies,
    ...options.manifest,
  });
  mkdirSync(join(dir, "node_modules/@ctrd"), { recursive: true });
  for (const folder of new Set([...options.own, ...(options.installed ?? [])])) {
    symlinkSync(join(repository, "packages", folder), join(dir, "node_modules/@ctrd", folder));
  }
  for (const [name, { manifest, plugin }] of foreign) {
    const home = join(dir, "node_modules", name);
    writeJson(join(home, "package.json"), {
      name,
      version: "1.2.3",
      type: "module",
      keywords: ["ctrd-plugin"],
      exports: { "./plugin": "./plugin.js" },
      peerDependencies: { "@ctrd/core": "^0.1.0" },
      ctrd: { plugin: "./plugin", api: 1 },
      ...manifest,
    });
    writeFileSync(join(home, "plugin.js"), plugin);
  }
}

/** Writes a file with the directories that lead to it. */
export function writeJson(path: string, value: unknown): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, JSON.stringify(value));
}
