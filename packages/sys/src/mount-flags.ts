/** Flags of `mount(2)`. */
export const MountFlag = {
  RdOnly: 1,
  NoSuid: 2,
  NoDev: 4,
  NoExec: 8,
  Synchronous: 16,
  Remount: 32,
  MandLock: 64,
  DirSync: 128,
  NoSymFollow: 256,
  NoAtime: 1024,
  NoDirAtime: 2048,
  Bind: 4096,
  Move: 8192,
  Rec: 16384,
  Silent: 32768,
  Unbindable: 131072,
  Private: 262144,
  Slave: 524288,
  Shared: 1048576,
  RelAtime: 2097152,
  StrictAtime: 16777216,
} as const;

/** Flags of `umount2(2)`. */
export const UnmountFlag = { Force: 1, Detach: 2, Expire: 4, NoFollow: 8 } as const;
