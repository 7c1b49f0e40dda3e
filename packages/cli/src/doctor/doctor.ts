/**
 * `ctrd doctor`.
 *
 * @module
 */
import { messageOf } from "@ctrd/core/errors";
import { CommandFailure } from "../failure.ts";
import { toJson } from "../output/format.ts";
import type { Session } from "../session.ts";
import type { Examination } from "./examine.ts";
import { examine } from "./examine.ts";
import type { Finding } from "./finding.ts";
import { openScope } from "./scope.ts";

/** Flags of `ctrd doctor`. */
export interface DoctorFlags {
  root?: string;
  state?: string;
  deep?: boolean;
  repair?: boolean;
  /** Seconds. */
  patience?: number;
  json?: boolean;
}

const usualPatience = 3;

/** A finding, and what became of it. */
interface Treated {
  readonly finding: Finding;
  /** What was done; undefined when nothing was. */
  readonly repaired: string | undefined;
  /** Why the repair failed. */
  readonly failure: string | undefined;
}

/**
 * Runs `ctrd doctor`.
 *
 * @throws CommandFailure with exit code 1 when something is wrong still
 */
export async function doctor(session: Session, flags: DoctorFlags): Promise<void> {
  const scope = await openScope(session, flags);
  const examination = await examine(scope, (flags.patience ?? usualPatience) * 1000);
  const treated: Treated[] = [];
  for (const finding of examination.findings) treated.push(await treat(finding, flags.repair === true));
  process.stdout.write(flags.json === true ? jsonOf(treated) : textOf(treated, examination));
  if (treated.some(({ repaired }) => repaired === undefined)) throw new CommandFailure("");
}

async function treat(finding: Finding, repair: boolean): Promise<Treated> {
  if (!repair || finding.repair === undefined) return { finding, repaired: undefined, failure: undefined };
  try {
    return { finding, repaired: await finding.repair(), failure: undefined };
  } catch (error) {
    return { finding, repaired: undefined, failure: messageOf(error) };
  }
}

function jsonOf(treated: readonly Treated[]): string {
  return treated
    .map(({ finding, repaired, failure }) => {
      const { check, severity, object, problem, meaning, remedy, repair } = finding;
      const facts = { Check: check, Severity: severity, Object: object, Problem: problem, Meaning: meaning };
      const repairable = repair !== undefined;
      const outcome = { Repairable: repairable, Remedy: remedy, Repaired: repaired ?? null, Failure: failure ?? null };
      return `${toJson({ ...facts, ...outcome })}\n`;
    })
    .join("");
}

function textOf(treated: readonly Treated[], { made, skipped }: Examination): string {
  const lines = treated.flatMap(({ finding, repaired, failure }) => [
    `${finding.severity.padEnd(8)} ${finding.object}: ${finding.problem}`,
    `         ${finding.meaning}`,
    `         ${outcomeOf(finding, repaired, failure)}`,
  ]);
  for (const { check, why } of skipped) lines.push(`not checked: ${check.name} (${check.about}): ${why}`);
  lines.push(summaryOf(treated, made.length));
  return `${lines.join("\n")}\n`;
}

function outcomeOf({ repair, remedy }: Finding, repaired: string | undefined, failure: string | undefined): string {
  if (repaired !== undefined) return `repaired: ${repaired}`;
  if (failure !== undefined) return `could not be repaired: ${failure}`;
  return repair === undefined ? `to do: ${remedy}` : `--repair ${remedy}`;
}

function summaryOf(treated: readonly Treated[], checks: number): string {
  if (treated.length === 0) return `Healthy: ${checks} checks found nothing.`;
  const errors = treated.filter(({ finding }) => finding.severity === "error").length;
  const repaired = treated.filter((one) => one.repaired !== undefined).length;
  const open = treated.filter((one) => one.repaired === undefined && one.finding.repair !== undefined).length;
  const found = `${count(errors, "error")} and ${count(treated.length - errors, "warning")} in ${checks} checks`;
  if (repaired > 0) return `${found}; ${repaired} repaired.`;
  return open === 0 ? `${found}.` : `${found}; --repair mends ${open} of them.`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
