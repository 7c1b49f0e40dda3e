import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Surroundings } from "./command-line.ts";
import { runCommandLine } from "./command-line.ts";
import type { Kind } from "./kinds.ts";
import { kindNames } from "./kinds.ts";
import { pluginNames } from "./names.ts";

const repository = join(import.meta.dirname, "../../..");
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "create-"));
});

afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

interface Json {
  [key: string]: Record<string, string>;
}

/** Runs the command in the test's directory, as with no terminal; returns what it printed. */
async function create(...args: string[]): Promise<string> {
  let printed = "";
  const output = { write: (text: string) => (printed += text) } as unknown as NodeJS.WritableStream;
  const where: Surroundings = { cwd: dir, input: { isTTY: false } as NodeJS.ReadStream, output };
  await runCommandLine(args, where);
  return printed;
}

const text = (...path: string[]): string => readFileSync(join(dir, ...path), "utf8");
const json = (path: string): Json => JSON.parse(readFileSync(path, "utf8")) as Json;

describe("names", () => {
  it.each(["my-snapshotter", "a", "x.y_z", "@me/my-snapshotter", "3d"])("takes %s", (name) => {
    expect(pluginNames(name, "snapshotter")).toEqual({ name, id: name.split("/").at(-1) });
  });

  it.each([
    ["", "it is empty"],
    ["My-Snapshotter", "capital letters"],
    ["-x", "beginning with a letter"],
    [".x", "beginning with a letter"],
    ["a b", "only a-z"],
    ["a/b/c", '"name" or "@scope/name"'],
    ["a/b", '"name" or "@scope/name"'],
    ["@/b", '"name" or "@scope/name"'],
    ["fs", "uses that name"],
    ["node_modules", "uses that name"],
    ["x".repeat(215), "more than 214"],
    ["x".repeat(77), "id of a plugin"],
    ["a--b", "id of a plugin"],
    ["a~b", "id of a plugin"],
    ["overlayfs", "default set"],
    ["@me/native", "default set"],
  ])("refuses %j", (name, why) => {
    expect(() => pluginNames(name, "snapshotter")).toThrow(why);
  });
});

describe.each(kindNames)("template %s", (kind: Kind) => {
  it("leaves no mark, and has what npm, the daemon and a reader look for", async () => {
    await create("@me/my-plugin", "--kind", kind);
    const root = join(dir, "my-plugin");
    const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    for (const file of files) {
      const content = readFileSync(join(file.parentPath, file.name), "utf8");
      expect(content, file.name).not.toMatch(/__[a-z_]+__/);
    }
    const manifest = json(join(root, "package.json"));
    expect(manifest).toMatchObject({ name: "@me/my-plugin", ctrd: { plugin: "./plugin", api: 1 } });
    expect(manifest["keywords"]).toContain("ctrd-plugin");
    expect(Object.keys(manifest["exports"] ?? {})).toEqual([".", "./plugin", "./package.json"]);
    const names = files.map((file) => file.name);
    for (const name of ["README.md", "LICENSE", ".gitignore", "ci.yml", "plugin.js", "config.js"]) {
      expect(names).toContain(name);
    }
    expect(text("my-plugin/src/plugin.js")).toContain('id: "my-plugin"');
  });

  it("wants versions that there are", () => {
    const template = json(join(import.meta.dirname, "../templates", kind, "package.template.json"));
    const workspace = { ...json(join(repository, "package.json"))["devDependencies"] };
    for (const folder of ["snapshot-native", "api"]) {
      Object.assign(workspace, json(join(repository, "packages", folder, "package.json"))["dependencies"]);
    }
    const wanted = { ...template["dependencies"], ...template["devDependencies"] };
    for (const [name, range] of Object.entries(wanted)) {
      expect(range.replace("^", ""), name).toBe(name.startsWith("@ctrd/") ? "__version__" : workspace[name]);
    }
    // What the daemon brings must come from the daemon: a second copy of core could not work.
    for (const range of Object.values(template["peerDependencies"] ?? {})) expect(range).toBe("__range__");
    for (const name of Object.keys(template["peerDependencies"] ?? {})) expect(wanted).toHaveProperty([name]);
    expect(Object.keys(template["dependencies"] ?? {}).filter((name) => name.startsWith("@ctrd/"))).toEqual([]);
  });
});

describe("the command", () => {
  it("writes a snapshotter into the folder that it is given, and says what to do next", async () => {
    const printed = await create("my-snapshotter");
    expect(printed).toContain("  src/plugin.js\n");
    expect(printed).toContain("cd my-snapshotter\n  npm install\n  npm test");
    expect(text("my-snapshotter/src/plugin.js")).toContain("SnapshotPlugin");
    const { version } = json(join(import.meta.dirname, "../package.json")) as unknown as { version: string };
    const manifest = json(join(dir, "my-snapshotter/package.json"));
    expect(manifest["peerDependencies"]?.["@ctrd/core"]).toBe(`>=${version} <1`);
    expect(manifest["devDependencies"]?.["@ctrd/testkit"]).toBe(version);
  });

  it("names the folder after the package, and the package after the folder", async () => {
    await create("--name", "@me/one", "--kind", "content");
    expect(json(join(dir, "one/package.json"))).toMatchObject({ name: "@me/one" });
    mkdirSync(join(dir, "two"));
    mkdirSync(join(dir, "two/.git"));
    await create("two", "--kind=differ", "-y");
    expect(json(join(dir, "two/package.json"))).toMatchObject({ name: "two" });
  });

  it("asks on a terminal for what it was not told", async () => {
    const input = Object.assign(new PassThrough(), { isTTY: true });
    const output = new PassThrough();
    const answers = new Map([
      ["npm name of the package (my-snapshotter): ", "@me/asked\n"],
      ["kind (snapshotter): ", "content\n"],
    ]);
    let printed = "";
    output.on("data", (data: Buffer) => {
      printed += data.toString();
      for (const [question, answer] of answers) {
        if (printed.endsWith(question)) input.write(answer);
      }
    });
    await runCommandLine([], { cwd: dir, input: input as unknown as NodeJS.ReadStream, output });
    expect(json(join(dir, "asked/package.json"))).toMatchObject({ name: "@me/asked" });
    expect(text("asked/src/plugin.js")).toContain("ContentPlugin");
  });

  it("touches nothing in a folder that has something in it", async () => {
    mkdirSync(join(dir, "full"));
    writeFileSync(join(dir, "full/notes"), "mine");
    await expect(create("full")).rejects.toThrow(`${dir}/full is not empty (it has notes)`);
    expect(readdirSync(join(dir, "full"))).toEqual(["notes"]);
  });

  it("refuses what it does not understand, before it writes", async () => {
    await expect(create("x", "--kind", "shim")).rejects.toThrow('"shim" is no kind of plugin: snapshotter, content');
    await expect(create("x", "y")).rejects.toThrow('not also "y"');
    await expect(create("x", "--king", "differ")).rejects.toThrow("--king");
    await expect(create("Bad Name")).rejects.toThrow("cannot be the name of an npm package");
    await expect(create()).rejects.toThrow("give a folder or --name");
    expect(readdirSync(dir)).toEqual([]);
    expect(await create("--help")).toContain("--kind KIND");
  });
});
