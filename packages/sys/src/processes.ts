/**
 * Processes and namespaces.
 *
 * @module
 */
import { hasErrno } from "./errno.ts";
import { check, native, systemCall } from "./native.ts";

/** Namespace kinds, for {@link setns} and {@link unshare}. */
export const CloneFlag = {
  Fs: 0x00000200,
  NewTime: 0x00000080,
  NewNs: 0x00020000,
  NewCgroup: 0x02000000,
  NewUts: 0x04000000,
  NewIpc: 0x08000000,
  NewUser: 0x10000000,
  NewPid: 0x20000000,
  NewNet: 0x40000000,
} as const;

const nativePidfdOpen = systemCall("pidfd_open", ["int", "uint"]);
const nativePidfdSendSignal = systemCall("pidfd_send_signal", ["int", "int", "void *", "uint"]);
const nativeSetns = native("setns", "int", ["int", "int"]);
const nativeUnshare = native("unshare", "int", ["int"]);
const nativeIoctl = native("ioctl", "int", ["int", "ulong", "long"]);
const NS_GET_USERNS = 0xb701;
const nativePrctl = native("prctl", "int", ["int", "ulong", "ulong", "ulong", "ulong"]);

/** A descriptor of process `pid`, readable once it exits. @throws SysError `ESRCH` */
export function pidfdOpen(pid: number): number {
  return check(nativePidfdOpen(pid, 0), `pidfd_open ${pid}`);
}

/** Signals the process behind a pidfd; it cannot hit a process that reused the pid. @throws SysError `ESRCH` */
export function pidfdSendSignal(pidfd: number, signal: number): void {
  check(nativePidfdSendSignal(pidfd, signal, null, 0), "pidfd_send_signal");
}

/** Moves the calling thread into the namespace `fd`; `kind` is of {@link CloneFlag}, 0 = any. Use it in workers only. */
export function setns(fd: number, kind = 0): void {
  check(nativeSetns(fd, kind), "setns");
}

/** Gives the calling thread new namespaces of the kinds `flags` (of {@link CloneFlag}). Use it in workers only. */
export function unshare(flags: number): void {
  check(nativeUnshare(flags), "unshare");
}

/** Opens the user namespace that owns the namespace `fd`. @throws SysError `EPERM` when it is outside of this thread's */
export function openOwnerNamespace(fd: number): number {
  return check(nativeIoctl(fd, NS_GET_USERNS, 0), "ioctl NS_GET_USERNS");
}

/** Makes this process the parent of orphaned descendants, or stops it. */
export function prctlSetSubreaper(enabled: boolean): void {
  const PR_SET_CHILD_SUBREAPER = 36;
  check(nativePrctl(PR_SET_CHILD_SUBREAPER, enabled ? 1 : 0, 0, 0, 0), "prctl PR_SET_CHILD_SUBREAPER");
}

/**
 * Kills the process group of a program that was started detached, with what it has started. Nothing happens when it is
 * gone, or could not be started.
 */
export function killGroup({ pid }: { readonly pid?: number | undefined }): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (!hasErrno(error, "ESRCH")) throw error;
  }
}
