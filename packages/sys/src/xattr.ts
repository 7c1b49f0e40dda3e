/**
 * Extended attributes of a path itself: symbolic links are not followed. For a path beneath a directory descriptor use
 * `/proc/self/fd/<fd>/<name>`.
 *
 * @module
 */
import { check, cPath, failure, lastErrno, native } from "./native.ts";
import type { NativeFunction, PathLike } from "./native.ts";

/** How {@link lsetxattr} treats an attribute that is there already or is not. */
export const XattrFlag = { Any: 0, Create: 1, Replace: 2 } as const;

const nativeGet = native("lgetxattr", "long", ["const char *", "const char *", "void *", "size_t"]);
const nativeSet = native("lsetxattr", "int", ["const char *", "const char *", "const void *", "size_t", "int"]);
const nativeGetOf = native("getxattr", "long", ["const char *", "const char *", "void *", "size_t"]);
const nativeListOf = native("listxattr", "long", ["const char *", "void *", "size_t"]);
const nativeList = native("llistxattr", "long", ["const char *", "void *", "size_t"]);
const nativeRemove = native("lremovexattr", "int", ["const char *", "const char *"]);

const ENODATA = 61;
const ERANGE = 34;

/** Value of an attribute; `undefined` when it is not set. @throws SysError `EOPNOTSUPP` where there are none */
export function lgetxattr(path: PathLike, name: string): Buffer | undefined {
  const target = cPath(path, "lgetxattr");
  return readGrowing(256, (buffer) => nativeGet(target, name, buffer, buffer.length), "lgetxattr", path);
}

/** Sets an attribute. `flags` are of {@link XattrFlag}. */
export function lsetxattr(path: PathLike, name: string, value: Uint8Array, flags = 0): void {
  const target = cPath(path, "lsetxattr");
  // An empty array may have no address; the kernel then sees NULL with size 0, which is an empty value too.
  check(nativeSet(target, name, value, value.length, flags), `lsetxattr ${name}`, path);
}

/** Names of the attributes. */
export function llistxattr(path: PathLike): string[] {
  const target = cPath(path, "llistxattr");
  const call: NativeFunction = (buffer, size) => nativeList(target, buffer ?? null, size ?? 0);
  const names = readGrowing(512, (buffer) => call(buffer, buffer.length), "llistxattr", path);
  return names === undefined || names.length === 0 ? [] : names.toString().slice(0, -1).split("\0");
}

/** All attributes of an open inode; the descriptor may be `O_PATH`, but not that of a symbolic link. */
export function xattrsOf(fd: number): Map<string, Buffer> {
  const path = `/proc/self/fd/${fd}`;
  const list = readGrowing(512, (buffer) => nativeListOf(path, buffer, buffer.length), "listxattr", path);
  const names = list === undefined || list.length === 0 ? [] : list.toString().slice(0, -1).split("\0");
  const xattrs = new Map<string, Buffer>();
  for (const name of names) {
    const value = readGrowing(
      256,
      (buffer) => nativeGetOf(path, name, buffer, buffer.length),
      `getxattr ${name}`,
      path,
    );
    // It was removed meanwhile.
    if (value !== undefined) xattrs.set(name, value);
  }
  return xattrs;
}

/** Removes an attribute. @throws SysError `ENODATA` when it is not set */
export function lremovexattr(path: PathLike, name: string): void {
  check(nativeRemove(cPath(path, "lremovexattr"), name), `lremovexattr ${name}`, path);
}

/** Calls `read` with larger and larger buffers until the value fits; 64 KiB is the kernel's limit. */
function readGrowing(
  size: number,
  read: (buffer: Buffer) => number,
  syscall: string,
  path: PathLike,
): Buffer | undefined {
  const buffer = Buffer.allocUnsafe(size);
  const length = read(buffer);
  if (length >= 0) return buffer.subarray(0, length);
  const errno = lastErrno();
  if (errno === ENODATA) return undefined;
  if (errno === ERANGE && size < 65_536) return readGrowing(65_536, read, syscall, path);
  throw failure(syscall, path);
}
