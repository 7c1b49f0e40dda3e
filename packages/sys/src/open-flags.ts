import { constants } from "node:fs";

/** Flags of `openat` and `openat2`. Values differ by processor where Node's own constants do. */
export const OpenFlag: {
  readonly RdOnly: number;
  readonly WrOnly: number;
  readonly RdWr: number;
  readonly Creat: number;
  readonly Excl: number;
  readonly Trunc: number;
  readonly Append: number;
  readonly NonBlock: number;
  readonly Directory: number;
  readonly NoFollow: number;
  readonly Path: number;
  readonly Cloexec: number;
} = {
  RdOnly: constants.O_RDONLY,
  WrOnly: constants.O_WRONLY,
  RdWr: constants.O_RDWR,
  Creat: constants.O_CREAT,
  Excl: constants.O_EXCL,
  Trunc: constants.O_TRUNC,
  Append: constants.O_APPEND,
  NonBlock: constants.O_NONBLOCK,
  Directory: constants.O_DIRECTORY,
  NoFollow: constants.O_NOFOLLOW,
  Path: 0o10000000,
  Cloexec: 0o2000000,
};
