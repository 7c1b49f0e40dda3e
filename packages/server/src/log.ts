import type { LogFields, Logger } from "@ctrd/core/log";
import type { Logger as PinoLogger } from "pino";
import { pino } from "pino";
import type { LogLevel } from "./config/daemon-table.ts";

/** What is logged, and how. */
export interface LogSettings {
  level: LogLevel | "";
  format: "text" | "json" | "";
}

/** Options of {@link createLogger}. */
export interface LoggerOptions extends LogSettings {
  /** Receives the lines, each with its newline; standard error by default. */
  write?: (line: string) => void;
}

/** The daemon's logger. */
export interface DaemonLogger {
  readonly log: Logger;
  /** Changes what is logged, for every logger that came of this one. */
  configure(settings: LogSettings): void;
  /** Writes out what is buffered; call it before the process exits. */
  flush(): void;
}

/** Makes a logger of JSON lines (level, time, fields, msg), or of readable text. */
export function createLogger(options: LoggerOptions): DaemonLogger {
  const destination = options.write === undefined ? pino.destination({ dest: 2, sync: false }) : undefined;
  const write = options.write ?? ((line: string) => void destination?.write(line));
  const shared: Shared = { threshold: 0, text: false, verbose: false };
  const configure = ({ level, format }: LogSettings): void => {
    shared.threshold = ranks[pinoLevel(level)] ?? ranks.info;
    shared.text = format === "text";
    shared.verbose = shared.threshold <= ranks.debug;
  };
  configure(options);
  const root = pino(
    {
      // The threshold is ours: pino's children keep the level that they were made with.
      level: "trace",
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (error: unknown) => describeError(error, shared.verbose) },
    },
    { write: (line: string) => write(shared.text ? textLine(line) : line) },
  );
  return { log: new DaemonLog(root, shared), configure, flush: () => destination?.flushSync() };
}

/** Settings that all loggers of a daemon look at. */
interface Shared {
  threshold: number;
  text: boolean;
  verbose: boolean;
}

const ranks = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60 };

class DaemonLog implements Logger {
  readonly #pino: PinoLogger;
  readonly #shared: Shared;

  constructor(logger: PinoLogger, shared: Shared) {
    this.#pino = logger;
    this.#shared = shared;
  }

  trace(fields: LogFields, message: string): void {
    if (this.#shared.threshold <= ranks.trace) this.#pino.trace(fields, message);
  }

  debug(fields: LogFields, message: string): void {
    if (this.#shared.threshold <= ranks.debug) this.#pino.debug(fields, message);
  }

  info(fields: LogFields, message: string): void {
    if (this.#shared.threshold <= ranks.info) this.#pino.info(fields, message);
  }

  warn(fields: LogFields, message: string): void {
    if (this.#shared.threshold <= ranks.warn) this.#pino.warn(fields, message);
  }

  error(fields: LogFields, message: string): void {
    if (this.#shared.threshold <= ranks.error) this.#pino.error(fields, message);
  }

  child(fields: LogFields): Logger {
    return new DaemonLog(this.#pino.child(fields), this.#shared);
  }
}

function pinoLevel(level: LogLevel | ""): keyof typeof ranks {
  if (level === "") return "info";
  if (level === "warning") return "warn";
  return level === "panic" ? "fatal" : level;
}

/** An error with its causes; stacks only when the log is verbose. */
function describeError(error: unknown, verbose: boolean, depth = 0): unknown {
  if (!(error instanceof Error)) return String(error);
  const kind = "kind" in error ? { kind: error.kind } : {};
  const code = "code" in error ? { code: error.code } : {};
  const stack = verbose ? { stack: error.stack } : {};
  const cause = error.cause === undefined || depth > 4 ? {} : { cause: describeError(error.cause, verbose, depth + 1) };
  return { message: error.message, ...kind, ...code, ...cause, ...stack };
}

function textLine(line: string): string {
  const { level, time, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  let text = `${String(time)} ${String(level).toUpperCase().padEnd(5)} ${String(msg)}`;
  for (const [key, value] of Object.entries(fields)) {
    const plain = typeof value === "string" && /^[^\s"=]+$/.test(value);
    text += ` ${key}=${plain ? value : JSON.stringify(value)}`;
  }
  return `${text}\n`;
}
