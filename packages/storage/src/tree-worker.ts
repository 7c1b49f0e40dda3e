/**
 * Worker module: tasks on directory trees.
 */
import { rmSync } from "node:fs";
import { diskUsage } from "./disk-usage.ts";
import { serveTasks } from "./serve-tasks.ts";

serveTasks({
  diskUsage: (directory: string) => diskUsage(directory),
  /** A path that does not exist is fine. */
  remove: (path: string) => rmSync(path, { recursive: true, force: true }),
});
