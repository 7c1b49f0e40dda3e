/** Stop signals between CRI's numbers and names. */
import { Signal } from "@ctrd/api/cri/runtime/v1/api";

const names: ReadonlyMap<Signal, string> = new Map(
  Object.entries(Signal).map(([name, value]): [Signal, string] => [
    value,
    name.replace("MINPLUS", "MIN+").replace("MAXMINUS", "MAX-"),
  ]),
);
const values: ReadonlyMap<string, Signal> = new Map([...names].map(([value, name]) => [name, value]));

/** `SIGRTMIN+3` for a signal; empty for the runtime's default. */
export function signalName(signal: Signal): string {
  return signal === Signal.RUNTIME_DEFAULT ? "" : (names.get(signal) ?? "");
}

/** The signal of a name as images have it; the runtime's default for one that is not known. */
export function signalOf(name: string): Signal {
  const full = name.startsWith("SIG") ? name : `SIG${name}`;
  return values.get(full) ?? Signal.RUNTIME_DEFAULT;
}
