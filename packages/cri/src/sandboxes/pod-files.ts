/**
 * Files of a pod that its containers share: host name, hosts, resolver, shared memory.
 *
 * @module
 */
import { copyFile, mkdir, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import type { DNSConfig, PodSandboxConfig } from "@ctrd/api/cri/runtime/v1/api";
import { NamespaceMode } from "@ctrd/api/cri/runtime/v1/api";
import { errnoOf } from "@ctrd/core/errors";
import type { SandboxFiles } from "../spec/input.ts";
import type { UserMappings } from "../spec/namespaces.ts";
import { userMappings } from "../spec/namespaces.ts";
import { mountAll, unmountAll, UnmountFlag } from "@ctrd/sys";
import type { CriDirectories } from "./layout.ts";
import { sandboxFiles, sandboxRoot, sandboxState } from "./layout.ts";
import { dropUserNamespace } from "./user-namespace.ts";

const shmSize = 64 << 20;

/** Whether a pod has the host's IPC namespace, and with it the host's shared memory. */
export function hasHostIpc({ linux }: PodSandboxConfig): boolean {
  return linux?.securityContext?.namespaceOptions?.ipc === NamespaceMode.NODE;
}

/** Whether a pod has the host's network. */
export function hasHostNetwork({ linux }: PodSandboxConfig): boolean {
  return linux?.securityContext?.namespaceOptions?.network === NamespaceMode.NODE;
}

/** Ranges of ids of a pod that has a user namespace of its own. @throws ContainerdError `invalid-argument` for malformed ones */
export function podUserMappings({ linux }: PodSandboxConfig): UserMappings | undefined {
  return userMappings(linux?.securityContext?.namespaceOptions?.usernsOptions);
}

/** Makes the files of a pod. */
export async function makePodFiles(
  directories: CriDirectories,
  id: string,
  config: PodSandboxConfig,
): Promise<SandboxFiles> {
  const files = sandboxFiles(directories, id, hasHostIpc(config));
  await mkdir(sandboxRoot(directories, id), { recursive: true, mode: 0o755 });
  await Promise.all([
    writeFile(files.hostname, `${config.hostname === "" ? hostname() : config.hostname}\n`, { mode: 0o644 }),
    copyFile("/etc/hosts", files.hosts),
    writeResolver(files.resolvConf, config.dnsConfig),
  ]);
  if (!hasHostIpc(config)) await mountShm(files.shm, config);
  return files;
}

/** Mounts the shared memory of a pod again, after a reboot or whatever has unmounted it. */
async function mountShm(directory: string, config: PodSandboxConfig): Promise<void> {
  await mkdir(dirname(directory), { recursive: true, mode: 0o711 });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const options = ["noexec", "nosuid", "nodev", "mode=1777", `size=${shmSize}`, ...ownerOptions(config)];
  mountAll([{ type: "tmpfs", source: "shm", target: "", options }], directory);
}

/** In a user namespace its root owns the shared memory. */
function ownerOptions({ linux }: PodSandboxConfig): string[] {
  const userns = linux?.securityContext?.namespaceOptions?.usernsOptions;
  if (userns?.mode !== NamespaceMode.POD) return [];
  const [uid, gid] = [userns.uids[0]?.hostId, userns.gids[0]?.hostId];
  return uid === undefined || gid === undefined ? [] : [`uid=${uid}`, `gid=${gid}`];
}

/** Unmounts what a stopped pod has mounted. */
export function unmountPodFiles(directories: CriDirectories, id: string): void {
  unmountAll(sandboxFiles(directories, id, false).shm, UnmountFlag.Detach);
  dropUserNamespace(directories, id);
}

/** Removes the files of a pod. */
export async function removePodFiles(directories: CriDirectories, id: string): Promise<void> {
  unmountPodFiles(directories, id);
  for (const directory of [sandboxRoot(directories, id), sandboxState(directories, id)]) {
    await rm(directory, { recursive: true, force: true });
  }
}

async function writeResolver(path: string, dns: DNSConfig | undefined): Promise<void> {
  const lines = dns === undefined ? [] : resolverLines(dns);
  if (lines.length > 0) {
    await writeFile(path, `${lines.join("\n")}\n`, { mode: 0o644 });
    return;
  }
  try {
    await copyFile("/etc/resolv.conf", path);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    await writeFile(path, "", { mode: 0o644 });
  }
}

function resolverLines({ servers, searches, options }: DNSConfig): string[] {
  return [
    ...(searches.length === 0 ? [] : [`search ${searches.join(" ")}`]),
    ...servers.map((server) => `nameserver ${server}`),
    ...(options.length === 0 ? [] : [`options ${options.join(" ")}`]),
  ];
}
