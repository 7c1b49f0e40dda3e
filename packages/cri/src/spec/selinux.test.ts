/** On a machine without SELinux too: a policy in a directory, and labels that are only attributes of files. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DeepPartial } from "@ctrd/api/cri/runtime/v1/api";
import { SELinuxOption } from "@ctrd/api/cri/runtime/v1/api";
import { lgetxattr } from "@ctrd/sys";
import type { TempDir } from "@ctrd/testkit/fixtures";
import { tempDir } from "@ctrd/testkit/fixtures";
import { makeContainer, makeSandbox, runcHandler, securedSpec } from "../../test/spec-input.ts";
import { relabelTree } from "./relabel.ts";
import { SelinuxLabels } from "./selinux.ts";

let dir: TempDir;
beforeAll(async () => {
  dir = await tempDir();
  mkdirSync(join(dir.path, "etc/selinux/mls/contexts"), { recursive: true });
  writeFileSync(join(dir.path, "etc/selinux/config"), "SELINUX=enforcing\nSELINUXTYPE=mls\n");
  writeFileSync(
    join(dir.path, "etc/selinux/mls/contexts/lxc_contexts"),
    'process = "system_u:system_r:container_t:s0"\nfile = "system_u:object_r:container_file_t:s0"\n' +
      'kvm_process = "system_u:system_r:container_kvm_t:s0"\n',
  );
});
afterAll(() => dir[Symbol.asyncDispose]());

const open = (categories = 0): Promise<SelinuxLabels> => SelinuxLabels.open(categories, dir.path);
const option = (fields: DeepPartial<SELinuxOption>): SELinuxOption => SELinuxOption.create(fields);

describe("labels", () => {
  test("two categories that no other pod has", async () => {
    const labels = await open(3);
    const taken = [labels.take(undefined), labels.take(undefined), labels.take(undefined)];
    const levels = taken.map(({ process }) => process.replace("system_u:system_r:container_t:", ""));
    expect(levels.toSorted()).toEqual(["s0:c0,c1", "s0:c0,c2", "s0:c1,c2"]);
    expect(taken[0]?.mount).toBe(`system_u:object_r:container_file_t:${levels[0]}`);
    expect(() => labels.take(undefined)).toThrow("raise selinux_category_range");
    labels.release(taken[1]?.process ?? "");
    expect(labels.take(undefined).process).toBe(taken[1]?.process);
  });

  test("what is asked for, in part or in whole", async () => {
    const labels = await open();
    expect(labels.take(option({ user: "u", role: "r", type: "t", level: "s0:c1,c2" }))).toEqual({
      process: "u:r:t:s0:c1,c2",
      mount: "u:object_r:container_file_t:s0:c1,c2",
    });
    expect(labels.take(option({ type: "spc_t" })).process).toMatch(/^system_u:system_r:spc_t:s0:c\d+,c\d+$/);
  });

  test("a container has the label of its pod unless it asks for another", async () => {
    const labels = await open();
    const pod = labels.take(undefined).process;
    expect(labels.take(undefined, pod).process).toBe(pod);
    expect(labels.take(option({ level: "s0:c7,c8" }), pod).process).toBe("system_u:system_r:container_t:s0:c7,c8");
  });

  test("the categories of a pod are free once it and all its containers are gone", async () => {
    const labels = await open(2);
    const pod = labels.take(undefined).process;
    const container = labels.take(undefined, pod).process;
    labels.release(container);
    expect(() => labels.take(undefined)).toThrow("in use");
    labels.release(pod);
    // As after a restart of the daemon.
    labels.reserve(pod);
    expect(() => labels.take(undefined)).toThrow("in use");
    labels.release(pod);
    expect(labels.take(undefined).process).toBe(pod);
  });

  test.each(["s0:c1,", "s0:c12345", "x", "s0;c1"])("level %s is refused", async (level) => {
    const labels = await open();
    expect(() => labels.take(option({ level }))).toThrow("SELinux level");
    // Also where nothing would come of it.
    expect(() => SelinuxLabels.disabled().take(option({ level }))).toThrow("SELinux level");
  });

  test("no policy for containers, or no SELinux: no labels", async () => {
    const labels = await SelinuxLabels.open(0, join(dir.path, "nowhere"));
    expect(labels.enabled).toBe(false);
    expect(labels.take(option({ type: "t" }))).toEqual({ process: "", mount: "" });
  });
});

describe("specs", () => {
  test("of sandbox and container have the labels, and those of privileged ones keep only that of files", async () => {
    const selinux = await open();
    const env = { selinux };
    const sandbox = await makeSandbox({ env });
    expect(sandbox.process?.selinuxLabel).toMatch(/^system_u:system_r:container_t:s0:c/);
    const label = sandbox.process?.selinuxLabel ?? "";
    const inPod = {
      env,
      sandbox: {
        id: "s",
        pid: 1,
        processLabel: label,
        files: { hostname: "/no", hosts: "/no", resolvConf: "/no", shm: "/no" },
      },
    };
    const made = await makeContainer(inPod);
    expect(made.processLabel).toBe(label);
    expect(made.spec).toMatchObject({
      process: { selinuxLabel: label },
      linux: { mountLabel: label.replace("system_r:container_t", "object_r:container_file_t") },
    });
    const pod = { linux: { securityContext: { privileged: true } } };
    const privileged = await securedSpec({ privileged: true }, { ...inPod, pod });
    expect(privileged.process).not.toHaveProperty("selinuxLabel");
    expect(privileged.linux?.mountLabel).toContain("container_file_t");
  });

  test("in a virtual machine the process has another type", async () => {
    const handler = { ...runcHandler, runtime_type: "io.containerd.kata.v2" };
    const spec = await makeSandbox({ env: { selinux: await open() }, handler });
    expect(spec.process?.selinuxLabel).toMatch(/^system_u:system_r:container_kvm_t:s0:c/);
  });

  test("a failure gives the label back", async () => {
    const env = { selinux: await open(2) };
    await expect(makeContainer({ env, image: {} })).rejects.toThrow("no command");
    await expect(makeContainer({ env, config: { workingDir: "x" } })).rejects.toThrow("absolute");
    expect((await makeContainer({ env })).processLabel).toContain("s0:c0,c1");
  });

  test("without SELinux options are ignored", async () => {
    const spec = await securedSpec({ selinuxOptions: { type: "t", level: "s0:c1,c2" } });
    expect(spec.process).not.toHaveProperty("selinuxLabel");
  });
});

describe("relabel", () => {
  const label = "system_u:object_r:container_file_t:s0:c1,c2";
  const labelOf = (path: string): string | undefined => lgetxattr(path, "security.selinux")?.toString();

  test("a mount of a container with all below it; links are not followed", async () => {
    const tree = join(dir.path, "tree");
    mkdirSync(join(tree, "deep"), { recursive: true });
    writeFileSync(join(tree, "deep/file"), "");
    writeFileSync(join(dir.path, "outside"), "");
    symlinkSync(join(dir.path, "outside"), join(tree, "link"));
    const env = { selinux: await open() };
    const options = { level: "s0:c1,c2" };
    const mounts = [{ hostPath: tree, containerPath: "/tree", selinuxRelabel: true }];
    await securedSpec({ selinuxOptions: options }, { env, config: { mounts } });
    for (const path of [tree, join(tree, "deep"), join(tree, "deep/file"), join(tree, "link")]) {
      expect(labelOf(path)).toBe(`${label}\0`);
    }
    expect(labelOf(join(dir.path, "outside"))).toBeUndefined();
  });

  test("not of a system directory, nor of a file system without labels, nor of what is not there", async () => {
    const { signal } = new AbortController();
    for (const path of ["/", "/etc/", "/usr"])
      await expect(relabelTree(path, label, signal)).rejects.toThrow("system directory");
    await relabelTree("/proc/self/status", label, signal);
    await expect(relabelTree(join(dir.path, "gone"), label, signal)).rejects.toThrow(/relabel ".*gone"/);
  });
});
