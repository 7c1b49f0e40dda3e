import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/** A digest of names, modes, owners, sizes, contents and targets of everything below a directory. */
export async function treeDigest(directory: string): Promise<string> {
  const hash = createHash("sha256");
  const visit = (path: string, name: string): void => {
    const status = lstatSync(path);
    hash.update(`${name}\0${status.mode}\0${status.uid}\0${status.gid}\0`);
    if (status.isFile()) hash.update(`${status.size}\0`).update(readFileSync(path));
    if (status.isSymbolicLink()) hash.update(readlinkSync(path));
    if (!status.isDirectory()) return;
    for (const child of readdirSync(path).toSorted()) visit(join(path, child), join(name, child));
  };
  visit(directory, "");
  return hash.digest("hex");
}
