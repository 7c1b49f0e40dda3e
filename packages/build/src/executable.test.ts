import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, it } from "vitest";
import { patchesForNote } from "./elf.ts";
import { writeExecutable } from "./executable.ts";

let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), "ctrd-exe-"))));
afterEach(() => rmSync(directory, { recursive: true }));

const script = `
const { getAsset, isSea } = require("node:sea");
console.log(JSON.stringify([isSea(), process.argv.slice(2), process.execArgv, getAsset("text", "utf8")]));
`;

async function make(path: string, check: (path: string) => Promise<void> = async () => {}): Promise<void> {
  const [main, text] = [join(directory, "main.cjs"), join(directory, "text")];
  writeFileSync(main, script);
  writeFileSync(text, "an asset");
  await writeExecutable(path, { main, assets: { text } }, check);
}

it("writes an executable that runs a script, and takes no options of Node", async () => {
  const path = join(directory, "exe");
  await make(path);
  const options = { env: { NODE_OPTIONS: "--require /none/such" } };
  const { stdout } = await promisify(execFile)(path, ["--version", "-e", "1"], options);
  expect(JSON.parse(stdout)).toEqual([true, ["--version", "-e", "1"], [], "an asset"]);
});

it("leaves nothing behind when the check fails, and what was there before", async () => {
  const path = join(directory, "exe");
  writeFileSync(path, "old");
  const checked: string[] = [];
  await expect(
    make(path, async (executable) => {
      checked.push(executable);
      throw new Error("it does not start");
    }),
  ).rejects.toThrow(`write executable ${path}: it does not start`);
  expect(existsSync(checked[0] ?? "")).toBe(false);
  expect(readdirSync(directory).sort()).toEqual(["exe", "main.cjs", "text"]);
});

it("refuses a file without program headers", () => {
  const object = Buffer.alloc(64);
  object.writeUInt16LE(56, 54);
  expect(() => patchesForNote(object, "X", Buffer.alloc(1))).toThrow("the executable has no program headers");
});
