import type { Logger } from "@ctrd/core/log";
import { pino } from "pino";
import type { LogLevel } from "./config/daemon-table.ts";

/** Options of {@link createLogger}. */
export interface LoggerOptions {
  level: LogLevel | "";
  format: "text" | "json" | "";
  /** Receives the lines, each with its newline; standard error by default. */
  write?: (line: string) => void;
}

/** The daemon's logger. */
export interface DaemonLogger {
  readonly log: Logger;
  /** Writes out what is buffered; call it before the process exits. */
  flush(): void;
}

/** Makes a logger of JSON lines (level, time, fields, msg), or of readable text. */
export function createLogger(options: LoggerOptions): DaemonLogger {
  const destination = options.write === undefined ? pino.destination({ dest: 2, sync: false }) : undefined;
  const write = options.write ?? ((line: string) => void destination?.write(line));
  const stream = { write: options.format === "text" ? (line: string) => write(textLine(line)) : write };
  const level = pinoLevel(options.level);
  const verbose = level === "debug" || level === "trace";
  const log = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: (error: unknown) => describeError(error, verbose) },
    },
    stream,
  );
  return { log, flush: () => destination?.flushSync() };
}

function pinoLevel(level: LogLevel | ""): string {
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
