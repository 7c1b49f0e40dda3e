import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { removeNamespace } from "@ctrd/cni";
import type { TempDir } from "@ctrd/testkit/fixtures";
import { mountsBelow, mustRun, tempDir } from "@ctrd/testkit/fixtures";
import { createOwnedNetwork, dropUserNamespace, keepUserNamespace } from "./user-namespace.ts";

let dir: TempDir;
beforeAll(async () => {
  dir = await tempDir();
});
afterAll(async () => {
  expect(await mountsBelow(dir.path)).toEqual([]);
  await dir[Symbol.asyncDispose]();
});

const range = (hostID: number): object => ({ containerID: 0, hostID, size: 65_536 });

test("a network that a user namespace owns, which a sandbox can join", async () => {
  const directories = { root: dir.path, state: dir.path };
  const path = join(dir.path, "netns/one");
  await createOwnedNetwork(path, { uids: [range(100_000) as never], gids: [range(200_000) as never] });
  try {
    const user = await keepUserNamespace(directories, "pod", path);
    const script =
      "cat /proc/self/uid_map /proc/self/gid_map; ip -o address show lo; ip link add own0 type veth peer name own1 && echo own";
    const { stdout } = await mustRun("nsenter", [`--user=${user}`, `--net=${path}`, "sh", "-c", script]);
    expect(stdout.replaceAll(/ +/g, " ")).toMatch(
      /^ 0 100000 65536\n 0 200000 65536\n1: lo inet 127\.0\.0\.1[^]*own\n$/,
    );
    dropUserNamespace(directories, "pod");
    dropUserNamespace(directories, "pod");
    dropUserNamespace(directories, "other");
  } finally {
    await removeNamespace(path);
  }
});

test("mappings that the kernel does not take leave nothing", async () => {
  const path = join(dir.path, "bad/one");
  const twice = [range(100_000), range(100_000)] as never;
  await expect(createOwnedNetwork(path, { uids: twice, gids: twice })).rejects.toThrow(
    `network namespace ${path} in a user namespace`,
  );
  expect(() => readdirSync(join(dir.path, "bad"))).toThrow("ENOENT");
  expect(readFileSync(`/proc/self/task/${process.pid}/children`, "utf8")).toBe("");
});
