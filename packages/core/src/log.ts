/**
 * The logger that the daemon hands to plugins: fields first, then a short constant message.
 *
 * @module
 */

/** Fields of one log line. */
export type LogFields = Record<string, unknown>;

/** One level's method. */
export type LogMethod = (fields: LogFields, message: string) => void;

/** A structured logger; pino's logger is one. */
export interface Logger {
  readonly trace: LogMethod;
  readonly debug: LogMethod;
  readonly info: LogMethod;
  readonly warn: LogMethod;
  readonly error: LogMethod;
  /** A logger that adds `fields` to every line. */
  child(fields: LogFields): Logger;
}

/** A logger that drops everything; for libraries used without a daemon. */
export const silentLogger: Logger = {
  trace: () => {},
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
};
