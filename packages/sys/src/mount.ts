import { hasErrno } from "./errno.ts";
import { check, cPath, native } from "./native.ts";

const nativeMount = native("mount", "int", ["const char *", "const char *", "const char *", "ulong", "const char *"]);
const nativeUnmount = native("umount2", "int", ["const char *", "int"]);

/**
 * `mount(2)`: `flags` are of `MountFlag`; `data` are the file system's own options joined with commas.
 *
 * @throws SysError with the target in its message
 */
export function mount(source: string, target: string, fstype = "", flags = 0, data = ""): void {
  const from = cPath(source, "mount");
  const result = nativeMount(from, cPath(target, "mount"), cPath(fstype, "mount"), flags, cPath(data, "mount"));
  check(result, "mount", target);
}

/** `umount2(2)`: unmounts what was mounted last at `target`. `flags` are of `UnmountFlag`. */
export function unmount(target: string, flags = 0): void {
  check(nativeUnmount(cPath(target, "umount2"), flags), "umount2", target);
}

/** Unmounts until nothing is mounted at `target`. A target that does not exist is fine. */
export function unmountAll(target: string, flags = 0): void {
  for (;;) {
    try {
      unmount(target, flags);
    } catch (error) {
      // EINVAL: not a mount point.
      if (hasErrno(error, "EINVAL", "ENOENT")) return;
      throw error;
    }
  }
}
