/**
 * A terminal of ours for a process with a terminal.
 *
 * @module
 */
import { messageOf } from "@ctrd/core/errors";
import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import type { ReadStream, WriteStream } from "node:tty";

/** Something with a terminal whose size can be set. */
export interface Resizable {
  resize(width: number, height: number): Promise<void>;
}

/**
 * Lets a process have our terminal: keys come through raw, and its terminal follows the size of ours. Disposing gives
 * the terminal back. What is no terminal is left alone.
 *
 * ```ts
 * const task = await container.newTask({ io: inherit({ terminal: true }) });
 * using terminal = useTerminal(task, process.stdin, process.stdout);
 * await task.start();
 * ```
 */
export function useTerminal(
  process: Resizable,
  input: ReadStream,
  output: WriteStream,
  log: Logger = silentLogger,
): Disposable {
  const raw = input.isTTY;
  if (raw) input.setRawMode(true);
  const follow = (): void => {
    process.resize(output.columns, output.rows).catch((error: unknown) => {
      // It may have ended in between.
      log.debug({ err: messageOf(error) }, "terminal not resized");
    });
  };
  if (output.isTTY) {
    output.on("resize", follow);
    follow();
  }
  return {
    [Symbol.dispose]() {
      output.off("resize", follow);
      if (raw) input.setRawMode(false);
    },
  };
}
