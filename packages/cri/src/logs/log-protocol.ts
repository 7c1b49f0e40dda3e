/** What the daemon and the thread that writes logs tell each other. */
import type { LogFields } from "@ctrd/core/log";
import type { OutputName } from "./line-writer.ts";

/** Where output is written down. */
export interface LogTarget {
  readonly path: string;
  /** Longest line in bytes; zero and less: any length. */
  readonly maxLine: number;
}

/** Outputs that are to be read. */
export interface OutputsToRead {
  /** FIFOs; empty: there is none. */
  readonly stdout: string;
  readonly stderr: string;
  /** Undefined: output is written down nowhere. */
  readonly target: LogTarget | undefined;
  /** Whether output is sent to the daemon as well. */
  readonly watched: boolean;
  /** Bytes of each output that are sent at most, the first ones; the rest is thrown away. All when absent. */
  readonly limit?: number;
}

/** What the daemon asks; each gets a reply. */
export type LogCall =
  | { readonly type: "open"; readonly id: number; readonly outputs: OutputsToRead }
  | { readonly type: "reopen"; readonly id: number }
  | { readonly type: "progress"; readonly id: number }
  | { readonly type: "watch"; readonly id: number; readonly watched: boolean }
  | { readonly type: "stop" };

/** What the daemon says besides. */
export type LogNotice =
  | { readonly type: "taken"; readonly id: number; readonly bytes: number }
  | { readonly type: "close"; readonly id: number };

export type ToLogThread = (LogCall & { readonly call: number }) | (LogNotice & { readonly call?: undefined });

/** Levels that the thread logs with. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** An error on its way between threads. */
export interface SentError {
  readonly message: string;
  /** Its errno name, if it was a system error. */
  readonly code: string | undefined;
}

export type FromLogThread =
  | { readonly type: "reply"; readonly call: number; readonly value: unknown }
  | { readonly type: "failure"; readonly call: number; readonly error: SentError }
  | { readonly type: "output"; readonly id: number; readonly name: OutputName; readonly chunk: Uint8Array }
  | {
      readonly type: "log";
      readonly id: number;
      readonly level: LogLevel;
      readonly fields: LogFields;
      readonly message: string;
    }
  | { readonly type: "ended"; readonly id: number };
