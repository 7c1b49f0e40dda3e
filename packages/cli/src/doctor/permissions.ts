/**
 * Check of who may look into a daemon's directories and sockets (CVE-2021-41103, CVE-2024-25621).
 *
 * @module
 */
import { chmod, chown, stat } from "node:fs/promises";
import { errnoOf } from "@ctrd/core/errors";
import type { Check, Finding } from "./finding.ts";
import type { DoctorScope } from "./scope.ts";

/** Mode bits that must not be there. */
interface Rule {
  readonly path: string;
  readonly forbidden: number;
}

/** Nothing for others but passing through. */
const passOnly = 0o066;
/** Nothing for others at all. */
const closed = 0o077;
/** Nothing for others than the group. */
const group = 0o007;

/** Directories and sockets are closed to others. */
export const permissions: Check = {
  name: "permissions",
  about: "directories, databases and sockets are the daemon's own, and closed to others",
  async run(scope) {
    const findings: Finding[] = [];
    for (const rule of rulesOf(scope)) findings.push(...(await look(rule)));
    return findings;
  },
};

function rulesOf({ root, state, content, bundles, metadata, snapshotters, socket, isCtrd }: DoctorScope): Rule[] {
  const rules = [
    { path: root, forbidden: isCtrd ? closed : passOnly },
    { path: state, forbidden: passOnly },
    { path: bundles, forbidden: passOnly },
    ...snapshotters.map((one) => ({ path: one.root, forbidden: closed })),
    { path: socket, forbidden: group },
    { path: `${socket}.ttrpc`, forbidden: group },
  ];
  if (!isCtrd) return rules;
  const own = [content, metadata, ...snapshotters.map(({ database }) => database)];
  return [...rules, ...own.flatMap((path) => (path === undefined ? [] : [{ path, forbidden: closed }]))];
}

async function look({ path, forbidden }: Rule): Promise<Finding[]> {
  try {
    const { mode, uid } = await stat(path);
    const loose = mode & forbidden;
    const owner = process.geteuid?.() ?? 0;
    return [
      ...(loose === 0 ? [] : [looseMode(path, mode & 0o7777, mode & 0o7777 & ~forbidden)]),
      ...(uid === owner ? [] : [foreign(path, uid, owner)]),
    ];
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

const octal = (mode: number): string => mode.toString(8).padStart(4, "0");

function looseMode(path: string, mode: number, wanted: number): Finding {
  return {
    check: "permissions",
    severity: "error",
    object: path,
    problem: `its mode is ${octal(mode)}, and should be ${octal(wanted)} or less`,
    meaning: "users of this machine may read or run what containers have in them, set-uid programs included",
    remedy: `sets its mode to ${octal(wanted)}`,
    async repair() {
      await chmod(path, wanted);
      return `now ${octal(wanted)}`;
    },
  };
}

function foreign(path: string, uid: number, owner: number): Finding {
  return {
    check: "permissions",
    severity: "error",
    object: path,
    problem: `it belongs to user ${uid}`,
    meaning: "that user may change everything in it",
    remedy: `gives it to user ${owner}`,
    async repair() {
      await chown(path, owner, -1);
      return `now of user ${owner}`;
    },
  };
}
