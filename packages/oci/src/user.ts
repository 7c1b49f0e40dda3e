/**
 * The user of the process: by number, or by the names in the container's own `/etc/passwd` and `/etc/group`.
 *
 * The supplementary groups always include the primary one (CVE-2023-25173).
 *
 * @module
 */
import { failedPrecondition, invalidArgument, notFound } from "@ctrd/core/errors";
import { findGroup, findPasswd, groupsWithMember, parseId } from "./account-files.ts";
import type { SpecContext, SpecOption } from "./context.ts";
import { processOf } from "./context.ts";
import type { Spec } from "./spec.ts";

/** Options of {@link withUser}. */
export interface UserOptions {
  /** Whether the groups that list the user in the image are added; when absent, only if `user` names no group. */
  imageGroups?: boolean;
}

/**
 * Runs the process as `user|uid[:group|gid]`. Without a group it is that of `/etc/passwd` (0 for a uid that is not
 * there).
 */
export function withUser(user: string, options: UserOptions = {}): SpecOption {
  const { user: name, group } = parseUser(user);
  const { imageGroups = group === undefined } = options;
  return async (context, spec) => {
    await setUser(context, spec, user);
    if (!imageGroups) return;
    const id = parseId(name);
    if (id === undefined || context.withRootfs !== undefined) await addGroupsOfUser(context, spec, id ?? name);
  };
}

/** Runs the process as this uid and gid, whatever `/etc/passwd` says. */
export function withUserIds(uid: number, gid: number): SpecOption {
  requireId("uid", String(uid), String(uid));
  requireId("gid", String(gid), String(gid));
  return (_context, spec) => setIds(spec, uid, gid, []);
}

/** Adds supplementary groups by gid or by the names in `/etc/group`. */
export function withAdditionalGroups(...groups: readonly string[]): SpecOption {
  return async (context, spec) => {
    const { user } = processOf(spec);
    const added: number[] = [];
    for (const group of groups) added.push(await groupId(context, group));
    setIds(spec, user.uid, user.gid, [...(user.additionalGids ?? []), ...added]);
  };
}

/** The file mode mask of the process. */
export function withUmask(umask: number): SpecOption {
  if (!Number.isInteger(umask) || umask < 0 || umask > 0o777) {
    throw invalidArgument(`umask ${umask} is not in 0 … 0777`);
  }
  return (_context, spec) => {
    processOf(spec).user.umask = umask;
  };
}

/** Sets uid and gid from `user|uid[:group|gid]`; there are no further groups then. */
export async function setUser(context: SpecContext, spec: Spec, text: string): Promise<void> {
  const { user, group } = parseUser(text);
  const id = numericId("uid", text, user);
  if (group !== undefined) {
    const uid = id ?? (await passwdEntry(context, user)).uid;
    setIds(spec, uid, await groupId(context, group), []);
    return;
  }
  if (id === undefined) {
    const entry = await passwdEntry(context, user);
    setIds(spec, entry.uid, entry.gid, []);
    return;
  }
  const entry = await context.withRootfs?.((root) => findPasswd(root, id));
  setIds(spec, id, entry?.gid ?? 0, []);
}

/** Sets the supplementary groups to those that list the user. A user that is not known is in none. */
export async function addGroupsOfUser(context: SpecContext, spec: Spec, user: string | number): Promise<void> {
  const gids = await inRootfs(context, `groups of user "${user}"`, async (root) => {
    const name = typeof user === "string" ? user : (await findPasswd(root, user))?.name;
    return name === undefined ? [] : groupsWithMember(root, name);
  });
  const { uid, gid } = processOf(spec).user;
  setIds(spec, uid, gid, gids);
}

function setIds(spec: Spec, uid: number, gid: number, groups: readonly number[]): void {
  const process = processOf(spec);
  const additionalGids = groups.includes(gid) ? [...groups] : [gid, ...groups];
  process.user = { ...process.user, uid, gid, additionalGids: [...new Set(additionalGids)] };
}

function parseUser(text: string): { user: string; group: string | undefined } {
  const [user = "", group, ...more] = text.split(":");
  if (user === "" || group === "" || more.length > 0 || /[\0\n]/.test(text)) {
    throw invalidArgument(`user ${JSON.stringify(text)} is malformed (user|uid[:group|gid])`);
  }
  numericId("uid", text, user);
  if (group !== undefined) numericId("gid", text, group);
  return { user, group };
}

/**
 * The id when the text is a number. One that is out of range or has a sign is refused: it is never looked up as a name,
 * which an image could define to be root.
 */
function numericId(what: "uid" | "gid", whole: string, text: string): number | undefined {
  return /^[+-]?\d+$/.test(text) ? requireId(what, whole, text) : undefined;
}

function requireId(what: "uid" | "gid", whole: string, text: string): number {
  const id = parseId(text);
  if (id === undefined) throw invalidArgument(`user "${whole}": ${what} ${text} is not in 0 … 2147483647`);
  return id;
}

async function passwdEntry(context: SpecContext, name: string): Promise<{ uid: number; gid: number }> {
  const entry = await inRootfs(context, `user "${name}"`, (root) => findPasswd(root, name));
  if (entry === undefined) throw notFound(`user "${name}" in /etc/passwd of container "${context.id}"`);
  return entry;
}

async function groupId(context: SpecContext, text: string): Promise<number> {
  const id = numericId("gid", text, text);
  if (id !== undefined) return id;
  const gid = await inRootfs(context, `group "${text}"`, (root) => findGroup(root, text));
  if (gid === undefined) throw notFound(`group "${text}" in /etc/group of container "${context.id}"`);
  return gid;
}

function inRootfs<T>(context: SpecContext, what: string, use: (root: string) => Promise<T>): Promise<T> {
  if (context.withRootfs !== undefined) return context.withRootfs(use);
  throw failedPrecondition(`container "${context.id}": ${what} cannot be looked up without a root filesystem`);
}
