import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TempDir } from "@ctrd/testkit/fixtures";
import { tempDir } from "@ctrd/testkit/fixtures";
import { parseNetworkConfig } from "./config.ts";
import { loadNetworks } from "./load.ts";
import type { NetworksState } from "./watch.ts";
import { watchNetworks } from "./watch.ts";

let dir: TempDir;
beforeEach(async () => {
  dir = await tempDir("cni-");
});
afterEach(() => dir[Symbol.asyncDispose]());

const single = (name: string): string => JSON.stringify({ cniVersion: "1.0.0", name, type: "ptp" });

describe("a configuration", () => {
  const list = { cniVersion: "1.0.0", name: "n", plugins: [{ type: "bridge" }] };
  it.each([
    ["no JSON", "{", /it is not JSON/],
    ["a list", [], /it is a list, not an object/],
    ["no plugins", { cniVersion: "1.0.0", name: "n" }, /neither "plugins" \(a list\) nor "type"/],
    ["an empty list", { ...list, plugins: [] }, /"plugins" is empty/],
    ["plugins of another kind", { ...list, plugins: {} }, /"plugins" must be a list, got an object/],
    ["a plugin without a type", { ...list, plugins: [{ type: "a" }, {}] }, /"plugins\[1\].type" must be a string/],
    ["a type that is a path", { ...list, plugins: [{ type: "../a" }] }, /must be the name of a program, got "..\/a"/],
    ["an ipam type that is a path", { ...list, plugins: [{ type: "a", ipam: { type: "b/c" } }] }, /ipam.type/],
    ["capabilities of another kind", { ...list, plugins: [{ type: "a", capabilities: { x: 1 } }] }, /capabilities/],
    ["no name", { ...list, name: undefined }, /"name" must be a string, got nothing/],
    ["a name that is a path", { ...list, name: "../n" }, /"name": network name "..\/n"/],
    ["no version", { ...list, cniVersion: undefined }, /"cniVersion" is missing.*known are 0.3.0/],
    ["an unknown version", { ...list, cniVersion: "2.0.0" }, /"cniVersion" "2.0.0": known are .*1.1.0/],
    ["a flag of another kind", { ...list, disableCheck: 1 }, /"disableCheck" must be true or false, got a number/],
  ])("with %s is refused, naming file and key", (_name, value, message) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    expect(() => parseNetworkConfig(text, "/etc/x.conflist")).toThrow(message);
    expect(() => parseNetworkConfig(text, "/etc/x.conflist")).toThrow(/^network configuration \/etc\/x.conflist: /);
  });
});

describe("a directory", () => {
  it("is read in the order of names, the first ones, and no other files", async () => {
    for (const name of ["30-c.json", "10-a.conflist", "20-b.conf", "05-no.txt", "01-no.conf.bak"]) {
      await writeFile(join(dir.path, name), single(name.slice(3, 4)));
    }
    expect((await loadNetworks(dir.path)).map(({ name }) => name)).toEqual(["a", "b", "c"]);
    expect((await loadNetworks(dir.path, 2)).map(({ name }) => name)).toEqual(["a", "b"]);
    await writeFile(join(dir.path, "15-bad.conf"), "{}");
    await expect(loadNetworks(dir.path)).rejects.toThrow(join(dir.path, "15-bad.conf"));
    expect(await loadNetworks(dir.path, 1)).toHaveLength(1);
    await writeFile(join(dir.path, "15-bad.conf"), single("a"));
    await expect(loadNetworks(dir.path)).rejects.toThrow(/15-bad.conf: network "a" is also in .*10-a.conflist/);
  });

  it("may hold plugins of a list in files of their own", async () => {
    const list = { cniVersion: "1.1.0", name: "n", plugins: [{ type: "bridge" }] };
    const path = join(dir.path, "n.conflist");
    await writeFile(path, JSON.stringify(list));
    await mkdir(join(dir.path, "n"));
    for (const name of ["20-b.conf", "10-a.conf", "30-c.txt"]) {
      await writeFile(join(dir.path, "n", name), JSON.stringify({ type: name.slice(3, 4) }));
    }
    const types = async (): Promise<string[]> =>
      (await loadNetworks(dir.path)).flatMap(({ plugins }) => plugins.map(({ type }) => type));
    expect(await types()).toEqual(["bridge", "a", "b"]);
    await writeFile(join(dir.path, "n/10-a.conf"), "[]");
    await expect(types()).rejects.toThrow(/n\/10-a.conf: it must be an object, got a list/);
    await writeFile(path, JSON.stringify({ ...list, loadOnlyInlinedPlugins: true }));
    expect(await types()).toEqual(["bridge"]);
  });

  it("without networks is named", async () => {
    await expect(loadNetworks(dir.path)).rejects.toMatchObject({
      kind: "not-found",
      message: expect.stringContaining(dir.path),
    });
    await expect(loadNetworks(join(dir.path, "none"))).rejects.toThrow(/none does not exist/);
    await symlink("nowhere", join(dir.path, "x.conf"));
    await expect(loadNetworks(dir.path)).rejects.toThrow(/x.conf: ENOENT/);
  });

  it("is watched, before it is there, while it changes, and when it comes back", async () => {
    const path = join(dir.path, "deep/net.d");
    const states: NetworksState[] = [];
    using watch = await watchNetworks(path, { debounceMs: 30, onChange: (state) => states.push(state) });
    expect(watch.state.error).toMatchObject({ kind: "not-found" });
    const names = (): string[] | undefined => watch.state.networks?.map(({ name }) => name);
    const appears = (expected: string[] | undefined): Promise<void> =>
      expect.poll(names, { timeout: 10_000 }).toEqual(expected);
    await mkdir(path, { recursive: true });
    await writeFile(join(path, "a.conf"), single("a"));
    await appears(["a"]);
    await writeFile(join(path, "b.conf"), "{");
    await appears(undefined);
    expect(watch.state.error).toMatchObject({ message: expect.stringContaining(join(path, "b.conf")) });
    await writeFile(join(path, "b.conf"), single("b"));
    await appears(["a", "b"]);
    await rm(path, { recursive: true });
    await appears(undefined);
    await mkdir(path);
    await writeFile(join(path, "c.conf"), single("c"));
    await appears(["c"]);
    expect(states.at(-1)).toBe(watch.state);
  });
});
