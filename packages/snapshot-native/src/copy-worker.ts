/**
 * Worker module: copies trees.
 */
import { serveTasks } from "@ctrd/storage/tasks";
import { copyTree } from "./copy-tree.ts";

serveTasks({ copyTree: ({ source, target }: { source: string; target: string }) => copyTree(source, target) });
