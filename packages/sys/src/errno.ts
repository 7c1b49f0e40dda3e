import { constants } from "node:os";
import { getSystemErrorMessage } from "node:util";

/** errno names that `os.constants` lacks. */
const extraNames: readonly (readonly [string, number])[] = [
  ["ENOTBLK", 15],
  ["EUCLEAN", 117],
  ["EREMOTEIO", 121],
  ["ENOMEDIUM", 123],
  ["ENOKEY", 126],
  ["EKEYEXPIRED", 127],
];

const nameByErrno: ReadonlyMap<number, string> = namesByErrno();

function namesByErrno(): Map<number, string> {
  const names = new Map<number, string>(extraNames.map(([name, errno]) => [errno, name]));
  for (const [name, errno] of Object.entries(constants.errno)) names.set(errno, name);
  // Two names each; the kernel's own are these.
  names.set(constants.errno.EAGAIN, "EAGAIN");
  names.set(constants.errno.EOPNOTSUPP, "EOPNOTSUPP");
  return names;
}

/** A system call that failed. Shaped like Node's own file system errors. */
export class SysError extends Error {
  override readonly name: string = "SysError";
  /** Name of the errno, for example `ENOENT`. */
  readonly code: string;
  /** The errno, positive. */
  readonly errno: number;
  /** Name of the system call. */
  readonly syscall: string;
  /** What the call worked on, where there is something to name. */
  readonly path: string | undefined;

  constructor(errno: number, syscall: string, path?: string) {
    const code = nameByErrno.get(errno) ?? `E${errno}`;
    super(`${syscall}${path === undefined ? "" : ` "${path}"`}: ${code}: ${describe(errno)}`);
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
    this.path = path;
  }
}

/** Whether `error` is a failed call with one of the errno names `codes`. Node's own errors count too. */
export function hasErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(error.code as string);
}

function describe(errno: number): string {
  return getSystemErrorMessage(-errno) ?? "system error";
}
