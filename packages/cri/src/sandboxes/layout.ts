/** Where the files of pods and containers are. */
import { join } from "node:path";
import type { SandboxFiles } from "../spec/input.ts";

/** Directories of the CRI plugin: what survives a reboot, and what does not. */
export interface CriDirectories {
  readonly root: string;
  readonly state: string;
}

/** Directory of a pod that survives a reboot. */
export function sandboxRoot({ root }: CriDirectories, id: string): string {
  return join(root, "sandboxes", id);
}

/** Directory of a pod that does not. */
export function sandboxState({ state }: CriDirectories, id: string): string {
  return join(state, "sandboxes", id);
}

/** Directory of a container that survives a reboot. */
export function containerRoot({ root }: CriDirectories, id: string): string {
  return join(root, "containers", id);
}

/** Directory of a container that does not. */
export function containerState({ state }: CriDirectories, id: string): string {
  return join(state, "containers", id);
}

/** Files of a pod that its containers share. */
export function sandboxFiles(directories: CriDirectories, id: string, hostIpc: boolean): SandboxFiles {
  const root = sandboxRoot(directories, id);
  return {
    hostname: join(root, "hostname"),
    hosts: join(root, "hosts"),
    resolvConf: join(root, "resolv.conf"),
    shm: hostIpc ? "/dev/shm" : join(sandboxState(directories, id), "shm"),
  };
}
