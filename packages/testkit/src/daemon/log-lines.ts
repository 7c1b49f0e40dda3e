import type { LogFields, Logger } from "@ctrd/core/log";

/** One line that the daemon or a plugin logged. */
export interface LogLine {
  readonly level: "trace" | "debug" | "info" | "warn" | "error";
  readonly message: string;
  readonly fields: LogFields;
}

/** A logger that appends to `lines`. */
export function createLineLogger(lines: LogLine[], inherited: LogFields = {}): Logger {
  const at = (level: LogLine["level"]) => (fields: LogFields, message: string) =>
    void lines.push({ level, message, fields: { ...inherited, ...fields } });
  return {
    trace: at("trace"),
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => createLineLogger(lines, { ...inherited, ...fields }),
  };
}
