import { CommandFailure } from "../failure.ts";

const factors: Readonly<Record<string, number>> = { "": 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** Reads bytes as Docker has them: `64m`, `1.5g`, `4096`. */
export function parseBytes(flag: string, text: string): number {
  const [, number = "", unit = ""] = /^(\d+(?:\.\d+)?)\s*([bkmgt]?)i?b?$/i.exec(text) ?? [];
  const factor = factors[unit.toLowerCase()];
  if (number === "" || factor === undefined) {
    throw new CommandFailure(`${flag} needs a size such as 64m or 1.5g, got ${JSON.stringify(text)}`);
  }
  return Math.floor(Number(number) * factor);
}

/** Reads a number. */
export function parseNumber(flag: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) {
    throw new CommandFailure(`${flag} needs a number, got ${JSON.stringify(text)}`);
  }
  return value;
}
