/**
 * How objects of the reference graph are called, and which command frees them.
 *
 * @module
 */
import type { HeldObject, ObjectId } from "@ctrd/client";
import { shortReference } from "@ctrd/core/references";
import { formatSpan } from "../output/quantities.ts";

/** `image "busybox:latest"`, `content sha256:…`, `snapshot sha256:… (overlayfs)`. */
export function nameOfObject({ kind, id, snapshotter }: ObjectId): string {
  if (kind === "image") return `image "${shortReference(id)}"`;
  if (kind === "snapshot") return `snapshot ${quoteOdd(id)} (${snapshotter})`;
  return `${kind} ${quoteOdd(id)}`;
}

function quoteOdd(text: string): string {
  return /\s/.test(text) ? JSON.stringify(text) : text;
}

/** Since when it is there, and until when: `created 5 minutes ago, expires in 23 hours`. */
export function timesOf({ createdAt, updatedAt, expiresAt }: HeldObject, now: number = Date.now()): string {
  const parts: string[] = [];
  if (createdAt !== undefined) parts.push(`created ${formatSpan(now - createdAt.getTime())} ago`);
  const changed = createdAt === undefined ? undefined : (updatedAt?.getTime() ?? 0) - createdAt.getTime();
  if (updatedAt !== undefined && changed !== undefined && changed >= 1000) {
    parts.push(`changed ${formatSpan(now - updatedAt.getTime())} ago`);
  }
  if (expiresAt !== undefined) {
    parts.push(
      expiresAt < now ? `expired ${formatSpan(now - expiresAt)} ago` : `expires in ${formatSpan(expiresAt - now)}`,
    );
  }
  return parts.join(", ");
}

/** The command that makes a root let go of what it keeps; undefined for what is no root. */
export function freeingCommand({ kind, id, snapshotter, root }: HeldObject): string | undefined {
  if (root === undefined) return undefined;
  const word = shellWord(id);
  switch (kind) {
    case "image":
      return `ctrd rmi ${shellWord(shortReference(id))}`;
    case "lease":
      return `ctrd leases rm ${word}`;
    case "container":
      return `ctrd rm ${word}`;
    case "sandbox":
      return `ctr sandboxes rm ${word}`;
    case "ingest":
      return `ctrd content abort ${word}`;
    case "content":
      return `ctrd content label ${word} ${root}=`;
    case "snapshot":
      return `ctrd snapshots --snapshotter ${snapshotter} label ${word} ${root}=`;
  }
}

function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
