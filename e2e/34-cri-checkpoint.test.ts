/**
 * Issue 5, Build 1: CheckpointContainer. Debian's CRIU cannot dump on every kernel: what is told then is tested with it. The
 * archive is tested with a runc whose `checkpoint` writes files in place of CRIU's and does all else itself: that shows
 * what is in the archive, not that processes can be restored from it.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { ContainerState } from "@ctrd/api/cri/runtime/v1/api";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { until } from "./support/command.ts";
import type { CriHarness } from "./support/cri.ts";
import { openCri } from "./support/cri.ts";
import { peerTest } from "./support/peers.ts";

const dir = `/tmp/ctrd-checkpoint-${process.pid}`;
/** Does as runc, but for `checkpoint`: waits for the file `late` to go away, and writes what CRIU would. */
const recordingRunc = `#!/bin/sh
is_checkpoint=
for word; do [ "$word" = checkpoint ] && is_checkpoint=1; done
[ -n "$is_checkpoint" ] || exec runc "$@"
while [ $# -gt 0 ]; do
  case $1 in --image-path) image=$2 ;; --work-path) work=$2 ;; esac
  shift
done
while [ -e ${dir}/late ]; do sleep 0.05; done
[ -n "$image" ] && [ -n "$work" ] || exit 1
echo processes >"$image/core-1.img"
echo times >"$work/stats-dump"
echo said >"$work/dump.log"
`;

let cri: CriHarness;
beforeAll(async () => {
  mkdirSync(dir, { mode: 0o700 });
  writeFileSync(join(dir, "runc"), recordingRunc);
  chmodSync(join(dir, "runc"), 0o755);
  cri = await openCri(
    "checkpoint",
    `[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.recording]
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.recording.options]
BinaryName = "${dir}/runc"`,
  );
});
afterAll(async () => {
  await cri?.close();
  execFileSync("rm", ["-rf", dir]);
});
afterEach(async () => expect(await cri.removePods()).toEqual([]));

/** A container that writes and says something, in a new pod. */
async function running(name: string, handler = ""): Promise<string> {
  const pod = await cri.runPod(name, {}, handler);
  const id = await cri.start(
    pod,
    "main",
    "echo written >/file; echo said; while true; do date +%N >/now; sleep 0.02; done",
  );
  await until("it has written", async () => (await cri.exec(id, "cat", "/now")).text.trim() !== "");
  return id;
}

/** Its processes run, and not only its state says so. */
async function goesOn(id: string): Promise<void> {
  expect(await cri.status(id)).toMatchObject({ state: ContainerState.CONTAINER_RUNNING });
  const { text } = await cri.exec(id, "cat", "/now");
  await until("its time goes on", async () => (await cri.exec(id, "cat", "/now")).text !== text);
}

function checkpoint(containerId: string, location: string, timeout = 0n): Promise<unknown> {
  return cri.runtime.checkpointContainer(cri.ctx, { containerId, location, timeout });
}

test("5: the archive of a checkpoint has the processes, what they wrote and said, and what they are made of", async () => {
  const id = await running("archive", "recording");
  const location = join(dir, "archive.tar");
  await checkpoint(id, location);
  await goesOn(id);
  expect(statSync(location).mode & 0o777).toBe(0o600);
  const unpacked = join(dir, "archive");
  mkdirSync(unpacked);
  execFileSync("tar", ["-xf", location, "-C", unpacked]);
  const read = (name: string): string => readFileSync(join(unpacked, name), "utf8");
  expect(readdirSync(unpacked).toSorted()).toEqual([
    ...["checkpoint", "config.dump", "container.log", "dump.log", "rootfs-diff.tar"],
    ...["spec.dump", "stats-dump", "status", "status.dump"],
  ]);
  expect(read("checkpoint/core-1.img")).toBe("processes\n");
  expect(JSON.parse(read("config.dump"))).toMatchObject({
    ...{ id, name: "main_archive_e2e_uid-archive_0", runtime: "io.containerd.runc.v2", restored: false },
    rootfsImageName: cri.h.image,
  });
  expect(JSON.parse(read("spec.dump"))).toMatchObject({ process: { args: expect.arrayContaining(["sh"]) } });
  expect(JSON.parse(read("status.dump"))).toMatchObject({
    id,
    metadata: { name: "main" },
    image: { image: cri.h.image },
  });
  expect(read("container.log")).toContain("stdout F said");
  const diff = gunzipSync(readFileSync(join(unpacked, "rootfs-diff.tar")));
  const listed = execFileSync("tar", ["-tf", "-"], { input: diff }).toString().split("\n");
  expect(listed).toEqual(expect.arrayContaining(["file", "now"]));
});

test("5: a checkpoint that takes too long is given up: nothing is left of it, and the container goes on", async () => {
  const id = await running("late", "recording");
  writeFileSync(join(dir, "late"), "");
  try {
    await expect(checkpoint(id, join(dir, "late.tar"), 1n)).rejects.toThrow(/not done within 1 s/);
    await expect(checkpoint(id, join(dir, "late.tar"))).rejects.toThrow(/another checkpoint of it is being made/);
  } finally {
    execFileSync("rm", [join(dir, "late")]);
  }
  await goesOn(id);
  expect(readdirSync(dir).filter((name) => name.startsWith("late"))).toEqual([]);
  const directories = `${cri.h.daemon.root}/io.containerd.grpc.v1.cri/containers/${id}`;
  await until("the clean-up", () => !readdirSync(directories).includes("ctrd-checkpoint"));
});

test("5: what cannot be checkpointed is refused: no path, no running container, none of that name", async () => {
  const pod = await cri.runPod("refused");
  const id = await cri.create(pod, "main", "sleep 1000");
  await expect(checkpoint(id, join(dir, "x.tar"))).rejects.toThrow(/CONTAINER_CREATED state, not running/);
  await expect(checkpoint(id, "x.tar")).rejects.toThrow(/must be an absolute path/);
  await expect(checkpoint("none", join(dir, "x.tar"))).rejects.toThrow(/not found/);
});

peerTest(
  "5: a CRIU that cannot dump on this kernel: the error has its reason, and the container goes on",
  ["criu"],
  async () => {
    const id = await running("real");
    const location = join(dir, "real.tar");
    const failure = await checkpoint(id, location).then(
      () => undefined,
      (error: unknown) => String(error),
    );
    await goesOn(id);
    if (failure === undefined) {
      // Here it can: then the archive is whole.
      expect(execFileSync("tar", ["-tf", location]).toString()).toMatch(/checkpoint\/core-\d+\.img/);
      return;
    }
    expect(failure).toContain(`checkpoint container "${id}"`);
    expect(failure).toMatch(/criu failed: .*; CRIU says: Error \(criu\/.*"criu check" tells/);
    expect(existsSync(location)).toBe(false);
    expect(readdirSync(dir).filter((name) => name.startsWith("real"))).toEqual([]);
  },
);
