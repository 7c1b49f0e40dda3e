import { chmod, mkdir, open, readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errnoOf, failedPrecondition, invalidArgument } from "@ctrd/core/errors";

/** Directories that others share: changing their modes would break the system. */
const sharedDirectories: ReadonlySet<string> = new Set(
  "/ /bin /boot /dev /etc /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr /var".split(
    " ",
  ),
);
const sharedBelow: ReadonlySet<string> = new Set(
  "/run/user /run/lock /run/containerd /usr/bin /usr/lib /usr/local /var/lib /var/log /var/run /var/tmp".split(" "),
);

/**
 * Makes the daemon's directories and forces their modes: `root` and `temp` 0700, `state` 0711. Those of plugins that an
 * earlier daemon left open to others are closed to them.
 *
 * @throws ContainerdError `failed-precondition` when one cannot be made or belongs to a containerd, `invalid-argument`
 * when one is a system directory; the message names it and what to do
 */
export async function prepareDirectories(directories: { root: string; state: string; temp: string }): Promise<void> {
  await makeDirectory("root", directories.root, 0o700);
  await refuseContainerdRoot(directories.root);
  await makeDirectory("state", directories.state, 0o711);
  if (directories.temp !== "") await makeDirectory("temp", directories.temp, 0o700);
  for (const directory of [directories.root, directories.state]) await closePluginDirectories(directory);
}

/** Nobody else may list or change them; to go through some of them a user namespace needs. */
async function closePluginDirectories(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const path = join(directory, entry.name);
    const { mode } = await stat(path);
    if ((mode & openToOthers) !== 0) await chmod(path, mode & 0o7777 & ~openToOthers);
  }
}

/** Reading and writing by group and others. */
const openToOthers = 0o066;

async function makeDirectory(key: string, path: string, mode: number): Promise<void> {
  if (sharedDirectories.has(path) || sharedBelow.has(path)) {
    throw invalidArgument(`${key} directory ${path} is a directory of the system; choose one of the daemon's own`);
  }
  try {
    await makePath(path, mode);
    await chmod(path, mode);
  } catch (error) {
    const hint =
      errnoOf(error) === "EACCES" ? "run the daemon as root" : `set ${key} to a directory that can be written`;
    throw failedPrecondition(`make ${key} directory ${path}: ${errnoOf(error) ?? String(error)}; ${hint}`, {
      cause: error,
    });
  }
}

/** Makes a directory and what leads to it. Node's `recursive` never returns where mkdir answers ENOENT (/proc). */
async function makePath(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, mode);
  } catch (error) {
    if (errnoOf(error) === "EEXIST" && (await stat(path)).isDirectory()) return;
    if (errnoOf(error) !== "ENOENT" || dirname(path) === path) throw error;
    await makePath(dirname(path), 0o755);
    await mkdir(path, mode);
  }
}

/** bbolt's first page: a 16 byte header, then this number. */
const bboltMagic = 0xed0cdaed;

async function refuseContainerdRoot(root: string): Promise<void> {
  const path = join(root, "io.containerd.metadata.v1.bolt", "meta.db");
  let file;
  try {
    file = await open(path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return;
    throw failedPrecondition(`look for a database of containerd in ${root}: ${errnoOf(error) ?? ""}`, { cause: error });
  }
  try {
    const head = Buffer.alloc(20);
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    if (bytesRead < head.length || head.readUInt32LE(16) !== bboltMagic) return;
    throw failedPrecondition(
      `root directory ${root} belongs to containerd (${path} is its database); set root to another directory`,
    );
  } finally {
    await file.close();
  }
}
