/**
 * Signals by name.
 *
 * @module
 */
import { invalidArgument } from "@ctrd/core/errors";
import { constants } from "node:os";

const numbers: Readonly<Record<string, number>> = constants.signals;
const lastSignal = 64;
/** First real-time signal that programs may use: the C library keeps the two before. */
const firstRealTime = 34;

/**
 * The number of a signal: `15`, `"15"`, `"TERM"`, `"SIGTERM"`, `"SIGRTMIN+3"`, `"SIGRTMAX-1"`.
 *
 * @throws ContainerdError `invalid-argument`
 */
export function signalNumber(signal: string | number): number {
  const number = typeof signal === "number" ? signal : /^\d+$/.test(signal) ? Number(signal) : named(signal);
  if (number === undefined || !Number.isInteger(number) || number < 0 || number > lastSignal) {
    throw invalidArgument(`signal "${signal}" is neither a name such as SIGTERM nor a number from 0 to ${lastSignal}`);
  }
  return number;
}

function named(text: string): number | undefined {
  const upper = text.toUpperCase();
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  if (Object.hasOwn(numbers, name)) return numbers[name];
  const realTime = /^SIGRT(?:MIN(?:\+(?<up>\d+))?|MAX(?:-(?<down>\d+))?)$/.exec(name)?.groups;
  if (realTime === undefined) return undefined;
  const { up = "0", down = "0" } = realTime;
  const number = name.startsWith("SIGRTMIN") ? firstRealTime + Number(up) : lastSignal - Number(down);
  return number >= firstRealTime ? number : undefined;
}
