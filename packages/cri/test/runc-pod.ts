/** A pod run by the real runc out of specs made here: a sandbox, and containers in its namespaces. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Spec } from "@ctrd/oci";
import { availableCapabilities, encodeSpec } from "@ctrd/oci";
import { mount, MountFlag, unmount } from "@ctrd/sys";
import type { CommandResult } from "@ctrd/testkit/fixtures";
import { mustRun, runCommand } from "@ctrd/testkit/fixtures";
import type { SandboxFiles } from "../src/spec/index.ts";
import type { ContainerParts, SandboxParts } from "./spec-input.ts";
import { imageConfig, makeContainer, makeSandbox } from "./spec-input.ts";

/** A runc newer than Debian's, if one was built. */
const builtRunc = fileURLToPath(new URL("../../../.host/bin/runc", import.meta.url));
const runcProgram = existsSync(builtRunc) ? builtRunc : "runc";

/** Whether runc maps the ids of mounts (1.2 and later), which pods with a user namespace need. */
export const runcMapsMounts: boolean = /^runc version (1\.([2-9]|\d\d)|[2-9])/.test(
  execFileSync(runcProgram, ["--version"], { encoding: "utf8" }),
);

/** A user namespace: its first id outside, of 65536. */
export interface PodUser {
  firstId: number;
}

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
  /** Gives the pod a user namespace, which owns the network. */
  user?: PodUser;
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
  const { directory, rootfs, id, cgroupParent, sandbox = {}, user } = options;
  const runc = (...args: string[]): Promise<CommandResult> =>
    runCommand(runcProgram, ["--root", join(directory, "runc"), ...args]);
  mkdirSync(directory, { recursive: true });
  const files = sandboxFiles(directory);
  const namespaces = await makeNamespaces(directory, user);
  const netnsPath = namespaces.network;
  const config = sandbox.config ?? {};
  const spec = await makeSandbox({
    id,
    netnsPath,
    ...(namespaces.user === undefined ? {} : { usernsPath: namespaces.user }),
    files,
    image: { name: "pause", config: imageConfig({ Entrypoint: ["sleep", "1000"], Env: ["PATH=/bin"] }) },
    env: { settings: { restrict_oom_score_adj: !mayLowerOomScore } },
    ...sandbox,
    config: { ...config, linux: { cgroupParent, ...config.linux } },
  });
  const bundle = writeBundle(directory, id, spec, rootfs);
  // The sandbox must not hold the pipes of the command that starts it.
  const command = `exec ${runcProgram} --root '${directory}/runc' run -d --bundle '${bundle}' ${id} </dev/null >/dev/null 2>'${bundle}/log'`;
  const started = await runCommand("sh", ["-c", command]);
  if (started.exitCode !== 0) {
    namespaces.release();
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
      namespaces.release();
    },
  };
}

interface PodNamespaces {
  network: string;
  user: string | undefined;
  release(): void;
}

/** Makes namespaces that files of the directory keep. */
async function makeNamespaces(directory: string, user: PodUser | undefined): Promise<PodNamespaces> {
  const network = join(directory, "netns");
  writeFileSync(network, "");
  if (user === undefined) {
    await mustRun("unshare", [`--net=${network}`, "true"]);
    return { network, user: undefined, release: () => unmount(network) };
  }
  const owner = join(directory, "userns");
  writeFileSync(owner, "");
  const holder = spawn("unshare", ["--user", "--net", "sh", "-c", "echo ready; exec sleep 60"]);
  try {
    await once(holder.stdout, "data");
    for (const map of ["uid_map", "gid_map"]) writeFileSync(`/proc/${holder.pid}/${map}`, `0 ${user.firstId} 65536`);
    mount(`/proc/${holder.pid}/ns/user`, owner, "", MountFlag.Bind);
    mount(`/proc/${holder.pid}/ns/net`, network, "", MountFlag.Bind);
  } finally {
    holder.kill("SIGKILL");
    await once(holder, "close");
  }
  return {
    network,
    user: owner,
    release() {
      unmount(network);
      unmount(owner);
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
