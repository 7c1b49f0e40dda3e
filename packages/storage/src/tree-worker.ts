/**
 * Worker module: tasks on directory trees.
 */
import { diskUsage } from "./disk-usage.ts";
import { removeTree } from "./remove-tree.ts";
import { serveTasks } from "./serve-tasks.ts";

serveTasks({ diskUsage: (directory: string) => diskUsage(directory), removeTree });
