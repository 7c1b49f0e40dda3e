/** Ends a pull that gets no bytes for a while. */
import { deadlineExceeded } from "@ctrd/core/errors";
import type { ProgressListener } from "@ctrd/core/remotes";
import { formatGoDuration } from "@ctrd/core/durations";

/** Watches over one pull. */
export interface PullWatch extends Disposable {
  readonly signal: AbortSignal;
  readonly progress: ProgressListener;
}

/**
 * Starts to watch. Time counts while something is being downloaded; unpacking may take as long as it does.
 *
 * @param timeoutMs 0: for ever
 * @param listener told of the progress as well
 */
export function watchPull(reference: string, timeoutMs: number, listener?: ProgressListener): PullWatch {
  const controller = new AbortController();
  const active = new Map<string, bigint>();
  let last = Date.now();
  const timer =
    timeoutMs === 0
      ? undefined
      : setInterval(
          () => {
            if (active.size === 0 || Date.now() - last < timeoutMs) return;
            const text = `pull ${reference}: no bytes for ${formatGoDuration(timeoutMs)} (image_pull_progress_timeout)`;
            controller.abort(deadlineExceeded(text));
          },
          Math.max(1, timeoutMs / 10),
        );
  timer?.unref();
  return {
    signal: controller.signal,
    progress(told) {
      listener?.(told);
      const { stage, name, offset = 0n } = told;
      if (stage === "downloading") {
        if (active.get(name) !== offset) last = Date.now();
        active.set(name, offset);
      } else if (active.delete(name)) {
        last = Date.now();
      }
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}
