/**
 * The progress of transfers: bars on a terminal, lines in a pipe, JSON for programs.
 *
 * @module
 */
import type { ProgressListener, TransferProgress } from "@ctrd/core/remotes";
import { toJson } from "./format.ts";
import { ProgressBars } from "./progress-bars.ts";
import type { ProgressDisplay } from "./progress-display.ts";
import { servedText, shortName } from "./progress-display.ts";

/** How to show it. */
export interface ProgressStyle {
  json?: boolean;
  quiet?: boolean;
}

/** Shows progress on `stream` in the way that suits it. */
export function showProgress(stream: NodeJS.WriteStream, style: ProgressStyle): ProgressDisplay {
  if (style.quiet === true) return { listener: () => {}, [Symbol.dispose]: () => {} };
  if (style.json === true) {
    return {
      listener: (progress) => void stream.write(`${toJson(jsonOf(progress))}\n`),
      [Symbol.dispose]: () => {},
    };
  }
  if (stream.isTTY && process.env["TERM"] !== "dumb") return new ProgressBars(stream);
  return new ProgressLines(stream);
}

function jsonOf({ descriptor, ...progress }: TransferProgress): object {
  if (descriptor === undefined) return progress;
  const { digest, mediaType, size } = descriptor;
  return { ...progress, digest, mediaType, size };
}

/** One line for each change of a content's stage. */
class ProgressLines implements ProgressDisplay {
  readonly #stream: NodeJS.WriteStream;
  readonly #stages: Map<string, string> = new Map();

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  readonly listener: ProgressListener = (progress) => {
    const { name, stage, error } = progress;
    if (this.#stages.get(name) === stage) return;
    this.#stages.set(name, stage);
    const detail = stage === "complete" ? servedText(progress) : (error ?? "");
    this.#stream.write(`${shortName(name)}: ${stage}${detail === "" ? "" : ` ${detail}`}\n`);
  };

  [Symbol.dispose](): void {
    this.#stages.clear();
  }
}
