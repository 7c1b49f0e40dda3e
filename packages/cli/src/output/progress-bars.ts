import type { ProgressListener, TransferProgress } from "@ctrd/core/remotes";
import type { ProgressDisplay } from "./progress-display.ts";
import { servedText, shortName } from "./progress-display.ts";
import { formatBytes, formatClock } from "./quantities.ts";

/** What is known of one content. */
interface Line {
  progress: TransferProgress;
  /** Of the transfer: when and at which byte it began; its clock ends with it. */
  began: number;
  from: bigint;
  ended: number | undefined;
}

const redrawMs = 100;
const barWidth = 20;
/** Stages in which bytes are on their way. */
const moving: ReadonlySet<string> = new Set(["downloading", "uploading", "converting"]);

/** A line for each content, drawn again and again in place. */
export class ProgressBars implements ProgressDisplay {
  readonly #stream: NodeJS.WriteStream;
  readonly #lines: Map<string, Line> = new Map();
  /** Rows on the screen that are ours. */
  #drawn = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  readonly listener: ProgressListener = (progress) => {
    const now = performance.now();
    const line = this.#lines.get(progress.name) ?? { progress, began: now, from: 0n, ended: undefined };
    if (moving.has(progress.stage) && !moving.has(line.progress.stage)) {
      line.began = now;
      line.from = progress.offset ?? 0n;
    }
    if (isSettled(progress)) line.ended ??= now;
    // Later stages do not repeat who served it.
    const served = progress.served ?? line.progress.served;
    line.progress = served === undefined ? progress : { ...progress, served };
    if (!this.#lines.has(progress.name)) this.#begin(line, now);
    this.#lines.set(progress.name, line);
    this.#timer ??= setTimeout(() => this.#redraw(), redrawMs);
  };

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#redraw(true);
  }

  #begin(line: Line, now: number): void {
    line.began = now;
    line.from = line.progress.offset ?? 0n;
    line.ended = isSettled(line.progress) ? now : undefined;
  }

  #redraw(last = false): void {
    this.#timer = undefined;
    const { columns = 80, rows = 24 } = this.#stream;
    // A terminal cannot go back above its first row; in the end all lines may scroll.
    const all = [...this.#lines.values()];
    const lines = last ? all : all.slice(-Math.max(1, rows - 1));
    const up = this.#drawn === 0 ? "" : `\x1b[${this.#drawn}A`;
    const text = lines.map((line) => `\x1b[2K${formatLine(line, columns, performance.now())}\n`).join("");
    this.#stream.write(`${up}\r${text}\x1b[J`);
    this.#drawn = lines.length;
  }
}

/** Whether no bytes are to come any more: a transfer that nobody saw moving took as long as it waited. */
function isSettled({ stage }: TransferProgress): boolean {
  return !moving.has(stage) && stage !== "waiting";
}

/** One row: name, bar, bytes, rate, time left, host. */
export function formatLine(line: Line, columns: number, now: number): string {
  const { progress } = line;
  const { stage, offset = 0n, total = 0n } = progress;
  const name = shortName(progress.name);
  const label = name.padEnd(22);
  if (!moving.has(stage)) {
    const size = stage === "complete" || stage === "extracted" || stage === "extracting" ? sizeAndRate(line, now) : "";
    return `${label} ${[stage.padEnd(11), size, progress.error ?? servedText(progress)].join(" ").trimEnd()}`.slice(
      0,
      columns - 1,
    );
  }
  const seconds = Math.max(0.001, (now - line.began) / 1000);
  const rate = Number(offset - line.from) / seconds;
  const left = rate > 0 && total > 0n ? formatClock(Number(total - offset) / rate) : "";
  const moved = `${formatBytes(offset)}/${formatBytes(total)}`.padStart(20);
  const speed = rate > 0 ? `${formatBytes(rate)}/s` : "";
  const text = `${label} ${bar(offset, total)} ${moved} ${speed.padStart(12)}  ${left.padEnd(6)} ${servedText(progress)}`;
  return text.trimEnd().slice(0, columns - 1);
}

function sizeAndRate({ progress, began, ended, from }: Line, now: number): string {
  const size = progress.descriptor?.size ?? 0n;
  const seconds = Math.max(0.001, ((ended ?? now) - began) / 1000);
  const moved = Number(size - from);
  const speed = moved > 0 ? `${formatBytes(moved / seconds)}/s` : "";
  return `${formatBytes(size).padStart(9)} ${speed.padStart(12)} `;
}

function bar(offset: bigint, total: bigint): string {
  const full = total > 0n ? Math.min(barWidth, Math.floor((Number(offset) / Number(total)) * barWidth)) : 0;
  const head = full < barWidth ? ">" : "";
  return `[${"=".repeat(full)}${head}${" ".repeat(barWidth - full - head.length)}]`;
}
