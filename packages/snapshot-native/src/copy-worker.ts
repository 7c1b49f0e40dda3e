/**
 * Worker module: copies trees.
 */
import { serveTasks } from "@ctrd/storage/tasks";
import { copyTree } from "./copy-tree.ts";

/** What the task `copyTree` takes. */
export interface CopyRequest {
  readonly source: string;
  readonly target: string;
  /** In shared memory: becomes 1 when the copy is to stop. */
  readonly cancelled: Int32Array;
}

serveTasks({
  copyTree({ source, target, cancelled }: CopyRequest): void {
    copyTree(source, target, () => {
      if (Atomics.load(cancelled, 0) !== 0) throw new Error(`copy to ${target} was cancelled`);
    });
  },
});
