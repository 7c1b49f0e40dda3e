/**
 * Makes the checks.
 *
 * @module
 */
import { setTimeout as sleep } from "node:timers/promises";
import { blobs, digests, strayBlobs } from "./content.ts";
import type { Check, Finding } from "./finding.ts";
import { staleIngests } from "./ingests.ts";
import { cgroups, mounts } from "./machine.ts";
import { permissions } from "./permissions.ts";
import type { DoctorScope } from "./scope.ts";
import { databases, snapshots } from "./snapshots.ts";
import { bundles, shims, sockets, tasks } from "./tasks.ts";

const checks: readonly Check[] = [
  databases,
  permissions,
  blobs,
  digests,
  strayBlobs,
  staleIngests,
  snapshots,
  mounts,
  bundles,
  tasks,
  shims,
  sockets,
  cgroups,
];

/** What came out. */
export interface Examination {
  readonly findings: readonly Finding[];
  /** Checks that were made. */
  readonly made: readonly Check[];
  /** Checks that could not be made, and why. */
  readonly skipped: readonly { readonly check: Check; readonly why: string }[];
}

/** How often what was found is looked for, the first time included. */
const looks = 4;

/**
 * Makes all checks that can be made here.
 *
 * @param patienceMs how long what is found must last to count
 */
export async function examine(scope: DoctorScope, patienceMs: number): Promise<Examination> {
  const skipped = checks.flatMap((check) => {
    const why = check.obstacle?.(scope);
    return why === undefined ? [] : [{ check, why }];
  });
  const made = checks.filter((check) => skipped.every((one) => one.check !== check));
  const found = new Map<Check, Finding[]>();
  for (const check of made) found.set(check, await check.run(scope));
  for (let look = 1; look < looks; look++) {
    const open = made.filter((check) => check.lasting !== true && (found.get(check)?.length ?? 0) > 0);
    if (open.length === 0) break;
    await sleep(patienceMs / (looks - 1), undefined, { signal: scope.session.signal });
    for (const check of open) {
      const again = await check.run(scope);
      const before = new Set(found.get(check)?.map(keyOf));
      found.set(
        check,
        again.filter((finding) => before.has(keyOf(finding))),
      );
    }
  }
  return { findings: made.flatMap((check) => found.get(check) ?? []), made, skipped };
}

function keyOf({ object, problem }: Finding): string {
  // Ages in problems change.
  return `${object}\0${problem.replaceAll(/\d+ (?:second|minute|hour|day)s?/g, "")}`;
}
