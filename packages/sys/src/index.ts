/**
 * Linux system calls that Node lacks. All are synchronous and may be used in worker threads; the C library is bound on
 * first use in each thread. A failed call throws {@link SysError}.
 *
 * ```ts
 * mountAll([{ type: "bind", source: "/a", target: "", options: ["rbind", "ro"] }], "/b");
 * unmountAll("/b");
 * ```
 *
 * @module
 */
export {
  AT_FDCWD,
  AtFlag,
  close,
  linkat,
  makeDevice,
  mkdirat,
  mkfifo,
  mknod,
  mknodat,
  openat,
  openat2,
  readlinkat,
  RenameFlag,
  renameat2,
  ResolveFlag,
  symlinkat,
  unlinkat,
} from "./at.ts";
export type { FileStatus, FileTime } from "./attributes.ts";
export { currentTime, fchmod, fchmodat, fchown, fchownat, fstatat, omitTime, utimensat } from "./attributes.ts";
export { hasErrno, SysError } from "./errno.ts";
export { namesIn } from "./directories.ts";
export type { FileSystemStatus } from "./files.ts";
export {
  closeOnExecFrom,
  copyFileRange,
  fallocate,
  FallocateMode,
  FileSystemMagic,
  flock,
  fsync,
  LockOperation,
  reflink,
  seekData,
  seekHole,
  seekSet,
  setCloseOnExec,
  statfs,
  syncfs,
  syncFileSystem,
} from "./files.ts";
export { deleteBridge, setInterfaceUp } from "./interfaces.ts";
export type { KernelVersion } from "./kernel-version.ts";
export { kernelAtLeast, kernelVersion, parseKernelVersion } from "./kernel-version.ts";
export type { ManagerNeeds } from "./managed-mounts.ts";
export { managerNeeds, refuseManaged } from "./managed-mounts.ts";
export { mount, unmount, unmountAll } from "./mount.ts";
export { mountAll } from "./mount-all.ts";
export { MountFlag, UnmountFlag } from "./mount-flags.ts";
export type { MountInfo } from "./mount-info.ts";
export { parseMountInfo, readMountInfo } from "./mount-info.ts";
export type { ParsedMountOptions } from "./mount-options.ts";
export { parseMountOptions } from "./mount-options.ts";
export type { PathLike } from "./native.ts";
export { OpenFlag } from "./open-flags.ts";
export {
  CloneFlag,
  killGroup,
  openOwnerNamespace,
  pidfdOpen,
  pidfdSendSignal,
  prctlSetSubreaper,
  setns,
  unshare,
} from "./processes.ts";
export type { ProgramEnd, ProgramResult, ProgramRun } from "./program.ts";
export { commandLine, describeEnd, runProgram, succeeded } from "./program.ts";
export { removeTreeAt } from "./remove-tree.ts";
export type { PeerCredentials } from "./sockets.ts";
export { peerCredentials, sdNotify, tcpSocket } from "./sockets.ts";
export { workerExecArgv } from "./worker-arguments.ts";
export { lgetxattr, llistxattr, lremovexattr, lsetxattr, XattrFlag, xattrsOf } from "./xattr.ts";
