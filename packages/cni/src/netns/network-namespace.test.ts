import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { TempDir } from "@ctrd/testkit/fixtures";
import { tempDir } from "@ctrd/testkit/fixtures";
import { command } from "../testing/own-network.ts";
import { NetworkNamespace, removeNamespace } from "./network-namespace.ts";

let dir: TempDir;
beforeEach(async () => {
  dir = await tempDir("netns-");
});
afterEach(() => dir[Symbol.asyncDispose]());

const mounts = (): string[] =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(dir.path));

it("makes a namespace with its loopback interface up, and leaves nothing", async () => {
  const own = readlinkSync("/proc/self/ns/net");
  const netns = await NetworkNamespace.create(dir.path, "one");
  expect(netns.path).toBe(join(dir.path, "one"));
  expect(command("readlink /proc/self/ns/net", netns.path).trim()).not.toBe(own);
  expect(command("ip -o addr", netns.path)).toMatch(/lo +inet 127.0.0.1/);
  command("ip link set lo down", netns.path);
  await netns.setLoopbackUp();
  expect(command("ip -o link show lo", netns.path)).toMatch(/<.*UP/);
  expect(readlinkSync("/proc/self/ns/net")).toBe(own);
  expect(NetworkNamespace.open(netns.path).path).toBe(netns.path);
  await netns.remove();
  await netns.remove();
  expect(mounts()).toEqual([]);
  expect(readdirSync(dir.path)).toEqual([]);
});

it("makes many at once", async () => {
  const made = await Promise.all(Array.from({ length: 20 }, () => NetworkNamespace.create(dir.path)));
  const links = made.map(({ path }) => command("readlink /proc/self/ns/net", path));
  expect(new Set(links).size).toBe(20);
  await Promise.all(made.map((netns) => netns.remove()));
  expect(mounts()).toEqual([]);
});

it("keeps the namespace of another file", async () => {
  await using first = await NetworkNamespace.create(dir.path, "first");
  const second = await NetworkNamespace.pin(first.path, dir.path, "second");
  expect(command("readlink /proc/self/ns/net", second.path)).toBe(command("readlink /proc/self/ns/net", first.path));
  await second.remove();
  await expect(NetworkNamespace.pin(join(dir.path, "none"), dir.path, "third")).rejects.toThrow(/third: .*ENOENT/);
  expect(existsSync(join(dir.path, "third"))).toBe(false);
});

it("says what is wrong with a file, and does not touch it", async () => {
  await writeFile(join(dir.path, "taken"), "mine");
  await expect(NetworkNamespace.create(dir.path, "taken")).rejects.toMatchObject({ kind: "already-exists" });
  expect(readFileSync(join(dir.path, "taken"), "utf8")).toBe("mine");
  expect(() => NetworkNamespace.open(join(dir.path, "taken"))).toThrow(/the file is no namespace/);
  expect(() => NetworkNamespace.open(join(dir.path, "none"))).toThrow(/none: not found/);
  await removeNamespace(join(dir.path, "taken"));
  await removeNamespace(join(dir.path, "none"));
});

it("leaves nothing when it cannot keep one", async () => {
  // Nothing can be mounted for a program without privileges.
  const script = `
    import { NetworkNamespace } from ${JSON.stringify(new URL("./network-namespace.ts", import.meta.url).href)};
    const path = await NetworkNamespace.create(process.argv[1], "denied").catch((error) => console.log(error.message));`;
  await mkdir(join(dir.path, "d"), { mode: 0o777 });
  const flags = ["--conditions=ctrd-source", "--disable-warning=ExperimentalWarning", "--input-type=module"];
  const unprivileged = ["--bounding-set=-sys_admin", "--inh-caps=-sys_admin", "--", process.execPath];
  const args = [...unprivileged, ...flags, "-e", script, join(dir.path, "d")];
  const output = execFileSync("setpriv", args, { encoding: "utf8" });
  expect(output).toMatch(/make network namespace .*denied: unshare: EPERM/);
  expect(readdirSync(join(dir.path, "d"))).toEqual([]);
});
