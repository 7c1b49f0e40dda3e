/**
 * Failures on purpose, at places that have a name. `CTRD_FAILPOINTS` says which, for tests:
 *
 * ```
 * CTRD_FAILPOINTS="metadata.commit=1*error(no luck);content.sync=20%errno(EIO);shim.create=2*off->1*kill"
 * ```
 *
 * A place is one line, which costs a look at a boolean; `ctrd build` leaves all lines of that label out:
 *
 * ```ts
 * FAILPOINT: if (failpoints.on) await failpoints.at("content.rename");
 * ```
 *
 * @module
 */
import { constants } from "node:os";
import { ContainerdError, invalidArgument, isErrorKind, unknownError } from "./errors.ts";

type Action = "off" | "error" | "errno" | "sleep" | "pause" | "kill";

interface Term {
  readonly action: Action;
  readonly argument: string;
  readonly percent: number;
  /** How many times it may still act. */
  left: number;
  acted: boolean;
}

const termSyntax = /^(?<factors>(?:\d+(?:\.\d+)?[%*])*)(?<action>[a-z]+)(?:\((?<argument>[^()]*)\))?$/;
const nameSyntax = /^[a-z0-9]+(?:[.-][a-z0-9]+)*$/;
const withoutArgument: readonly string[] = ["off", "pause", "kill"];
const actions: readonly string[] = [...withoutArgument, "error", "errno", "sleep"];

/** What is to fail, and how. Counts are those of one thread. */
export class Failpoints {
  /** Whether anything is to fail: looked at before anything else. */
  on = false;
  readonly #points = new Map<string, Term[]>();
  readonly #hits = new Map<string, number>();
  #released: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(settings = "") {
    this.set(settings);
  }

  /**
   * Replaces what is to fail by `settings`, as in `CTRD_FAILPOINTS`; empty for nothing. Lets go of what is paused, and
   * counts from 0 again.
   *
   * @throws ContainerdError `invalid-argument` naming the point that cannot be understood
   */
  set(settings: string): void {
    const parsed = settings
      .split(";")
      .map((one) => one.trim())
      .filter((one) => one !== "")
      .map(parsePoint);
    this.#points.clear();
    this.#hits.clear();
    for (const [name, terms] of parsed) this.#points.set(name, terms);
    this.on = this.#points.size > 0;
    this.#released.resolve();
    this.#released = Promise.withResolvers();
  }

  /** How often `name` was passed while anything was on. */
  hits(name: string): number {
    return this.#hits.get(name) ?? 0;
  }

  /** The place `name` in asynchronous code. @throws what its setting says */
  async at(name: string): Promise<void> {
    const term = this.#next(name);
    if (term?.action === "sleep") return sleep(Number(term.argument));
    if (term?.action === "pause") return this.#released.promise;
    if (term !== undefined) act(name, term);
  }

  /** The place `name` where nothing may be waited for: `sleep` blocks the thread. @throws what its setting says */
  hit(name: string): void {
    const term = this.#next(name);
    if (term !== undefined) act(name, term);
  }

  /** The first of a point's terms whose count and chance let it act now. */
  #next(name: string): Term | undefined {
    this.#hits.set(name, this.hits(name) + 1);
    for (const term of this.#points.get(name) ?? []) {
      if (term.left <= 0 || Math.random() * 100 >= term.percent) continue;
      term.left--;
      if (term.action === "off") return undefined;
      // Whoever reads the log must not take it for a failure of the machine.
      if (!term.acted) process.stderr.write(`failpoint ${name}: ${term.action}(${term.argument})\n`);
      term.acted = true;
      return term;
    }
    return undefined;
  }
}

/** Those of this thread. */
export const failpoints: Failpoints = /* @__PURE__ */ ofEnvironment();

function ofEnvironment(): Failpoints {
  return new Failpoints(process.env["CTRD_FAILPOINTS"]);
}

function parsePoint(text: string): [string, Term[]] {
  const [, name = "", terms = ""] = /^([^=]*)=(.*)$/s.exec(text) ?? [];
  if (!nameSyntax.test(name)) throw invalidArgument(`failpoint "${text}": it is not of the form name=action`);
  return [name, terms.split("->").map((term) => parseTerm(name, term.trim()))];
}

function parseTerm(name: string, text: string): Term {
  const refuse = (why: string): ContainerdError => invalidArgument(`failpoint ${name}: "${text}" ${why}`);
  const { factors = "", action = "", argument = "" } = termSyntax.exec(text)?.groups ?? {};
  if (!actions.includes(action)) throw refuse(`is none of [P%][N*]${actions.join(", ")}`);
  if (withoutArgument.includes(action) && argument !== "") throw refuse("has an argument, which it does not take");
  if (action === "sleep" && !/^\d+$/.test(argument)) throw refuse("is not of the form sleep(milliseconds)");
  if (action === "errno" && !(argument in constants.errno)) throw refuse("names no errno of this system");
  const factor = (sign: string, absent: number): number =>
    Number(new RegExp(`([\\d.]+)\\${sign}`).exec(factors)?.[1] ?? absent);
  return { action: action as Action, argument, percent: factor("%", 100), left: factor("*", Infinity), acted: false };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms));
}

function act(name: string, { action, argument }: Term): void {
  if (action === "kill") process.kill(process.pid, "SIGKILL");
  if (action === "sleep") blockFor(Number(argument));
  // After a kill nothing more may happen, and where nothing can be waited for a pause is for good.
  if (action === "kill" || action === "pause") blockFor(Infinity);
  if (action === "error") throw errorOf(name, argument);
  if (action === "errno") throw errnoError(name, argument as keyof typeof constants.errno);
}

function blockFor(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** `error(text)`, or `error(kind: text)` for an error of a kind. */
function errorOf(name: string, argument: string): ContainerdError {
  const [, kind = "", text = ""] = /^([a-z-]+):\s*(.*)$/.exec(argument) ?? [];
  return isErrorKind(kind)
    ? new ContainerdError(kind, `failpoint ${name}: ${text}`)
    : unknownError(`failpoint ${name}: ${argument}`);
}

function errnoError(name: string, code: keyof typeof constants.errno): Error {
  return Object.assign(new Error(`${code}: failpoint ${name}`), { code, errno: -constants.errno[code] });
}
