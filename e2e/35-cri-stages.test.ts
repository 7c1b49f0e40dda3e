/** Issue 5, Build 9: errors that name the stage, and names that tell who holds them, at what, since when, until it fails. */
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { until } from "./support/command.ts";
import type { CriHarness } from "./support/cri.ts";
import { openCri } from "./support/cri.ts";

const dir = `/tmp/ctrd-stages-${process.pid}`;
/** Does as runc, but creates nothing: it waits as long as there is a file, and fails. */
const slowRunc = `#!/bin/sh
for word; do
  [ "$word" = create ] || continue
  while [ -e ${dir}/wait ]; do sleep 0.05; done
  exit 1
done
exec runc "$@"
`;
/** A bridge whose addresses cannot be. */
const brokenNetwork = {
  cniVersion: "1.0.0",
  name: "broken",
  plugins: [{ type: "bridge", bridge: "broken0", ipam: { type: "host-local", ranges: [[{ subnet: "nonsense" }]] } }],
};

let cri: CriHarness;
beforeAll(async () => {
  mkdirSync(join(dir, "net.d"), { recursive: true });
  writeFileSync(join(dir, "net.d/10-broken.conflist"), JSON.stringify(brokenNetwork));
  writeFileSync(join(dir, "runc"), slowRunc);
  chmodSync(join(dir, "runc"), 0o755);
  cri = await openCri(
    "stages",
    `[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.offnet]
cni_conf_dir = "${dir}/net.d"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.slow]
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.slow.options]
BinaryName = "${dir}/runc"`,
  );
});
afterAll(async () => {
  await cri?.close();
  rmSync(dir, { recursive: true });
});
afterEach(async () => expect(await cri.removePods()).toEqual([]));

test("9: a pod without a handler, and one whose network fails: the stage and what failed in it, and a free name", async () => {
  await expect(cri.runPod("one", {}, "nobody")).rejects.toThrow(
    /run pod sandbox "one_e2e_uid-one_0": runtime handler: no runtime for "nobody" is configured/,
  );
  await expect(cri.runPod("one", {}, "offnet")).rejects.toThrow(
    /run pod sandbox "one_e2e_uid-one_0": network: network "broken": plugin "bridge": ADD: .*nonsense/,
  );
  await cri.runPod("one");
});

test("9: whoever wants the name of a pod that is being made is told of it; after its failure the name is free", async () => {
  writeFileSync(join(dir, "wait"), "");
  const first = cri.runPod("two", {}, "slow");
  first.catch(() => {});
  const refused = await until("the first is being started", async () => {
    const error = String(await cri.runPod("two").catch((failure: unknown) => failure));
    return error.includes("(stage: start,") ? error : undefined;
  });
  expect(refused).toMatch(
    /"two_e2e_uid-two_0" is reserved for "[0-9a-f]{64}" \(stage: start, since [\d.]+m?s\); wait for it, or remove it first/,
  );
  rmSync(join(dir, "wait"));
  await expect(first).rejects.toThrow(
    /run pod sandbox "two_e2e_uid-two_0": start: .*did not terminate successfully: exit status 1/,
  );
  await cri.runPod("two");
});

test("9: a container without its image, and one whose spec cannot be: the stage and the reason, and a free name", async () => {
  const pod = await cri.runPod("three");
  await expect(cri.create(pod, "main", "true", { image: { image: "no.test/such:1" } })).rejects.toThrow(
    /create container "main_three_e2e_uid-three_0": image: image "no\.test\/such:1"; pull it first/,
  );
  const nobody = { linux: { securityContext: { runAsUsername: "nobody-of-that-name" } } };
  await expect(cri.create(pod, "main", "true", nobody)).rejects.toThrow(
    /create container "main_three_e2e_uid-three_0": spec: .*nobody-of-that-name/,
  );
  const id = await cri.create(pod, "main", "sleep 1000");
  await expect(cri.create(pod, "main", "sleep 1000")).rejects.toThrow(
    new RegExp(`"main_three_e2e_uid-three_0" is reserved for "${id}" \\(stage: created, since [\\d.]+m?s\\)`),
  );
});
