/** The AppArmor profile of processes that ask for none. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { failedPrecondition } from "@ctrd/core/errors";
import { isThere } from "./present-files.ts";

/** Its name, the same as containerd's: policies of hosts refer to it. */
export const defaultProfileName = "cri-containerd.apparmor.d";

/** What the text depends on. */
export interface ProfileParts {
  /** Profile of the daemon, which may send signals. */
  daemonProfile: string;
  /** Whether the host has `tunables/global` and `abstractions/base`. */
  tunables: boolean;
  abstractions: boolean;
}

/**
 * The profile in AppArmor's language: everything is allowed but to mount, to write what belongs to the host in /proc
 * and /sys, and to signal or trace processes outside.
 */
export function profileText({ daemonProfile, tunables, abstractions }: ProfileParts): string {
  const signalSenders = [...new Set(["unconfined", "runc", "crun", daemonProfile])];
  // /proc/<pid>/… stays writable, and of /proc/sys what is in kernel/shm*; /sys/fs/cgroup is the container's own.
  const denied = [
    "deny @{PROC}/* w,",
    "deny @{PROC}/{[^1-9s/]*,s,s[^y/]*,sy,sy[^s/]*,sys?*}/** w,",
    "deny @{PROC}/sys/[^k]** w,",
    "deny @{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w,",
    "deny @{PROC}/{sysrq-trigger,kcore} rwklx,",
    "deny mount,",
    "deny /sys/[^f]*/** wklx,",
    "deny /sys/f[^s]*/** wklx,",
    "deny /sys/fs/{[^c]*,c[^g]*,cg[^r]*}/** wklx,",
    "deny /sys/{firmware,kernel/security,devices/virtual/powercap}/** rwklx,",
  ];
  const rules = [
    ...(abstractions ? ["#include <abstractions/base>"] : []),
    "network,",
    "capability,",
    "file,",
    "umount,",
    ...signalSenders.map((peer) => `signal (receive) peer=${peer},`),
    `signal (send,receive) peer=${defaultProfileName},`,
    ...denied,
    `ptrace (trace,tracedby,read,readby) peer=${defaultProfileName},`,
  ];
  const head = tunables ? "#include <tunables/global>" : "@{PROC}=/proc/";
  const body = rules.map((rule) => `  ${rule}\n`).join("");
  return `${head}\n\nprofile ${defaultProfileName} flags=(attach_disconnected,mediate_deleted) {\n${body}}\n`;
}

/** Gives the profile to the kernel. Only `apparmor_parser` can compile one. @throws ContainerdError `failed-precondition` */
export async function loadDefaultProfile(signal: AbortSignal): Promise<void> {
  const [tunables, abstractions, current] = await Promise.all([
    isThere("/etc/apparmor.d/tunables/global"),
    isThere("/etc/apparmor.d/abstractions/base"),
    readFile("/proc/self/attr/current", "utf8"),
  ]);
  const daemonProfile = /^[^\s\0]+/.exec(current)?.[0] ?? "unconfined";
  const parser = spawn("apparmor_parser", ["-Kr"], { stdio: ["pipe", "ignore", "pipe"], signal });
  parser.stdin.end(profileText({ daemonProfile, tunables, abstractions }));
  const [complaint, [code]] = await Promise.all([text(parser.stderr), once(parser, "close") as Promise<[number]>]);
  if (code !== 0) {
    throw failedPrecondition(`AppArmor profile "${defaultProfileName}" cannot be loaded: ${complaint.trim()}`);
  }
}
