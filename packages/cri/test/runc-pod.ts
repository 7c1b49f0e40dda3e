/** A pod run by the real runc out of specs made here: a sandbox, and containers in its namespaces. */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Spec } from "@ctrd/oci";
import { availableCapabilities, encodeSpec } from "@ctrd/oci";
import { unmount } from "@ctrd/sys";
import type { CommandResult } from "@ctrd/testkit/fixtures";
import { mustRun, runCommand } from "@ctrd/testkit/fixtures";
import type { SandboxFiles } from "../src/spec/index.ts";
import type { ContainerParts, SandboxParts } from "./spec-input.ts";
import { imageConfig, makeContainer, makeSandbox } from "./spec-input.ts";

/** What {@link startRuncPod} needs. */
export interface RuncPodOptions {
  /** Directory of the pod's own. */
  directory: string;
  /** Root filesystem of sandbox and containers. */
  rootfs: string;
  id: string;
  /** Above its cgroups. */
  cgroupParent: string;
  sandbox?: SandboxParts;
}

/** Whether processes here may be made less likely to be killed; else the configuration must restrict the score. */
export const mayLowerOomScore: boolean = availableCapabilities().includes("CAP_SYS_RESOURCE");

/** A sandbox that runs. */
export interface RuncPod extends AsyncDisposable {
  readonly pid: number;
  readonly files: SandboxFiles;
  /** Runs a shell script in a container of the pod. */
  run(script: string, parts?: ContainerParts): Promise<CommandResult>;
  /** What it said; it must not fail nor complain. */
  output(script: string, parts?: ContainerParts): Promise<string>;
}

/** Starts a sandbox with a network namespace of its own, in which nothing is set up. */
export async function startRuncPod(options: RuncPodOptions): Promise<RuncPod> {
  const { directory, rootfs, id, cgroupParent, sandbox = {} } = options;
  const runc = (...args: string[]): Promise<CommandResult> =>
    runCommand("runc", ["--root", join(directory, "runc"), ...args]);
  mkdirSync(directory, { recursive: true });
  const files = sandboxFiles(directory);
  const netnsPath = join(directory, "netns");
  writeFileSync(netnsPath, "");
  await mustRun("unshare", [`--net=${netnsPath}`, "true"]);
  const config = sandbox.config ?? {};
  const spec = await makeSandbox({
    id,
    netnsPath,
    files,
    image: { name: "pause", config: imageConfig({ Entrypoint: ["sleep", "1000"], Env: ["PATH=/bin"] }) },
    env: { settings: { restrict_oom_score_adj: !mayLowerOomScore } },
    ...sandbox,
    config: { ...config, linux: { cgroupParent, ...config.linux } },
  });
  const bundle = writeBundle(directory, id, spec, rootfs);
  // The sandbox must not hold the pipes of the command that starts it.
  const command = `exec runc --root '${directory}/runc' run -d --bundle '${bundle}' ${id} </dev/null >/dev/null 2>'${bundle}/log'`;
  const started = await runCommand("sh", ["-c", command]);
  if (started.exitCode !== 0) {
    unmount(netnsPath);
    throw new Error(`sandbox ${id}: ${readFileSync(join(bundle, "log"), "utf8")}`);
  }
  const { pid } = JSON.parse((await runc("state", id)).stdout) as { pid: number };
  let count = 0;
  const run = async (script: string, parts: ContainerParts = {}): Promise<CommandResult> => {
    count += 1;
    const containerId = `${id}-${count}`;
    const made = await makeContainer({
      id: containerId,
      rootfs,
      image: { Env: ["PATH=/bin"] },
      sandbox: { id, pid, processLabel: "", files },
      volumesDirectory: join(directory, containerId, "volumes"),
      ...parts,
      config: { command: ["sh", "-c", script], ...parts.config },
      pod: { ...parts.pod, linux: { cgroupParent, ...parts.pod?.linux } },
    });
    const own = writeBundle(directory, containerId, made.spec, rootfs);
    return runc("run", "--bundle", own, containerId);
  };
  return {
    pid,
    files,
    run,
    async output(script, parts) {
      const result = await run(script, parts);
      if (result.exitCode !== 0 || result.stderr !== "")
        throw new Error(`exit ${result.exitCode}: ${result.stderr}${result.stdout}`);
      return result.stdout;
    },
    async [Symbol.asyncDispose]() {
      await runc("delete", "--force", id);
      unmount(netnsPath);
    },
  };
}

function sandboxFiles(directory: string): SandboxFiles {
  const files = {
    hostname: join(directory, "hostname"),
    hosts: join(directory, "hosts"),
    resolvConf: join(directory, "resolv.conf"),
    shm: join(directory, "shm"),
  };
  writeFileSync(files.hostname, "web-host\n");
  writeFileSync(files.hosts, "127.0.0.1 localhost\n");
  writeFileSync(files.resolvConf, "nameserver 127.0.0.1\n");
  mkdirSync(files.shm);
  return files;
}

/** The same spec, but with a root filesystem that is elsewhere. */
function writeBundle(directory: string, id: string, spec: Spec, rootfs: string): string {
  const bundle = join(directory, `bundle-${id}`);
  mkdirSync(bundle);
  writeFileSync(join(bundle, "config.json"), encodeSpec({ ...spec, root: { ...spec.root, path: rootfs } }));
  return bundle;
}

/** Removes a cgroup that pods were in, of every controller. */
export function removeCgroup(path: string): void {
  const tree = "/sys/fs/cgroup";
  const controllers = readdirSync(tree, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const parent of [tree, ...controllers.map(({ name }) => join(tree, name))]) {
    try {
      rmdirSync(join(parent, path));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
}
