/**
 * The C library, loaded on first use in each thread. Every call is synchronous: errno of koffi's asynchronous calls is
 * not reliable.
 *
 * @module
 */
import { createRequire } from "node:module";
import type { LibraryHandle } from "koffi";
import { SysError } from "./errno.ts";

/** What native functions take. Strings are passed as UTF-8 with an ending NUL; a list of them is an array of pointers. */
export type NativeValue = number | bigint | string | Uint8Array | null | readonly (string | null)[];
/** A bound C function that returns an integer. */
export type NativeFunction = (...values: NativeValue[]) => number;
/** A path: text, or raw bytes for names that are not UTF-8. */
export type PathLike = string | Uint8Array;

interface Koffi {
  load(path: string | null): LibraryHandle;
  errno(): number;
}

let koffi: Koffi | undefined;
let library: LibraryHandle | undefined;

function load(): LibraryHandle {
  koffi ??= createRequire(import.meta.url)("koffi") as Koffi;
  // null is the process itself, which has the C library in it, whichever that is (glibc or musl).
  library ??= koffi.load(null);
  return library;
}

/** Declares the C function `name`; it is bound when first called. `parameters` are C types. */
export function native(name: string, result: "int" | "long", parameters: readonly string[]): NativeFunction {
  let bound: NativeFunction | undefined;
  return (...values) => {
    bound ??= load().func(name, result, [...parameters]) as NativeFunction;
    return bound(...values);
  };
}

/** Declares the C function `name` to run in a thread of the library's own. What errno it left is not known. */
export function nativeAsync(
  name: string,
  result: "int" | "long",
  parameters: readonly string[],
): (...values: NativeValue[]) => Promise<number> {
  let bound: AsyncFunction | undefined;
  return (...values) =>
    new Promise((resolve, reject) => {
      bound ??= load().func(name, result, [...parameters]) as unknown as AsyncFunction;
      bound.async(...values, (error: Error | null, value: number) => (error === null ? resolve(value) : reject(error)));
    });
}

interface AsyncFunction {
  async(...values: unknown[]): void;
}

/** Numbers of system calls without a wrapper in every C library. From 424 on they are the same everywhere. */
const numbers: Record<string, Partial<Record<string, number>>> = {
  statx: { x64: 332, arm64: 291, riscv64: 291 },
  mknodat: { x64: 259, arm64: 33, riscv64: 33 },
  renameat2: { x64: 316, arm64: 276, riscv64: 276 },
  pidfd_send_signal: { all: 424 },
  open_tree: { all: 428 },
  move_mount: { all: 429 },
  fsopen: { all: 430 },
  fsconfig: { all: 431 },
  fsmount: { all: 432 },
  pidfd_open: { all: 434 },
  close_range: { all: 436 },
  openat2: { all: 437 },
};

/** Declares a system call by name; `parameters` are C types. */
export function systemCall(name: string, parameters: readonly string[]): NativeFunction {
  const number = numbers[name]?.all ?? numbers[name]?.[process.arch];
  const call = native("syscall", "long", ["long", ...parameters]);
  return (...values) => {
    if (number === undefined) throw new SysError(38, name);
    return call(number, ...values);
  };
}

/** errno of the native call made just before on this thread. */
export function lastErrno(): number {
  return koffi?.errno() ?? 0;
}

/** Passes a result through; throws the errno of the call when it is -1. */
export function check(result: number, syscall: string, path?: PathLike | null): number {
  if (result === -1) throw failure(syscall, path);
  return result;
}

/** The error of the native call made just before. */
export function failure(syscall: string, path?: PathLike | null): SysError {
  const errno = lastErrno();
  return new SysError(errno, syscall, path === undefined || path === null ? undefined : textOf(path));
}

/** A path as C takes it. @throws SysError `EINVAL` when it holds a NUL, which would silently cut it */
export function cPath(path: PathLike, syscall: string): PathLike {
  if (typeof path === "string") {
    if (path.includes("\0")) throw new SysError(22, syscall, path);
    return path;
  }
  const end = path.indexOf(0);
  if (end >= 0) throw new SysError(22, syscall, textOf(path));
  const terminated = new Uint8Array(path.length + 1);
  terminated.set(path);
  return terminated;
}

function textOf(path: PathLike): string {
  return typeof path === "string" ? path : Buffer.from(path.buffer, path.byteOffset, path.byteLength).toString();
}
