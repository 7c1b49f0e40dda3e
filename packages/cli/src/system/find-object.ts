/**
 * Finding an object of any kind by what people type.
 *
 * @module
 */
import type { HeldObject, ObjectKind, ReferenceGraph } from "@ctrd/client";
import { isKind } from "@ctrd/core/errors";
import { completeReference } from "@ctrd/core/references";
import { nameOf } from "../containers/labels.ts";
import { CommandFailure } from "../failure.ts";

/** Kinds in the order in which they are meant when a text fits several. */
const kindOrder: readonly ObjectKind[] = ["container", "image", "lease", "sandbox", "content", "snapshot", "ingest"];

/** The shortest beginning that is looked for. */
const minPrefix = 2;

/** What was found, and what else has the same name. */
export interface FoundObject {
  readonly object: HeldObject;
  readonly others: readonly HeldObject[];
}

/** @throws CommandFailure when none or more than one is meant */
export function findObject(graph: ReferenceGraph, text: string, kind: string | undefined): FoundObject {
  const all = [...graph.objects()].filter((object) => kind === undefined || object.kind === checkKind(kind));
  const exact = all.filter((object) => namesOf(object).some((name) => formsOf(text).includes(name)));
  const candidates = exact.length > 0 || text.length < minPrefix ? exact : all.filter((object) => begins(object, text));
  // A container and its snapshot often have the same id: the first kind is meant.
  const ids = new Set(candidates.map(({ id }) => id));
  const [object] = candidates.toSorted((a, b) => kindOrder.indexOf(a.kind) - kindOrder.indexOf(b.kind));
  if (object === undefined) throw missing(graph, text, kind);
  if (ids.size > 1 && (exact.length === 0 || exact.filter((one) => one.kind === object.kind).length > 1)) {
    throw ambiguous(text, candidates);
  }
  return { object, others: all.filter((other) => other.id === object.id && other !== object) };
}

function checkKind(kind: string): ObjectKind {
  const known = kindOrder.find((one) => one === kind);
  if (known !== undefined) return known;
  throw new CommandFailure(`--type "${kind}" is none of ${kindOrder.join(", ")}`);
}

/** A name as it is typed, and completed. */
function formsOf(text: string): string[] {
  try {
    return [text, completeReference(text)];
  } catch (error) {
    if (isKind(error, "invalid-argument")) return [text];
    throw error;
  }
}

function namesOf({ kind, id, labels }: HeldObject): string[] {
  const name = kind === "container" ? nameOf(labels) : "";
  return name === "" ? [id] : [id, name];
}

/** Whether the id begins so; of a digest the hexadecimal part, too. Names of images are typed whole. */
function begins({ kind, id }: HeldObject, text: string): boolean {
  if (kind === "image") return false;
  return id.startsWith(text) || (id.startsWith("sha256:") && id.startsWith(text, "sha256:".length));
}

function missing(graph: ReferenceGraph, text: string, kind: string | undefined): CommandFailure {
  return new CommandFailure(`no ${kind ?? "object"} "${text}" in namespace "${graph.namespace}"`, {
    remedy: "list with: ctrd images, ctrd ps -a, ctrd content ls, ctrd snapshots ls, ctrd leases ls",
  });
}

/** Candidates that a message lists. */
const listed = 8;

function ambiguous(text: string, candidates: readonly HeldObject[]): CommandFailure {
  const list = candidates.slice(0, listed).map(({ kind, id }) => `${kind} ${id}`);
  const more = candidates.length > listed ? `, and ${candidates.length - listed} more` : "";
  return new CommandFailure(`"${text}" is ambiguous: ${list.join(", ")}${more}`, {
    remedy: "write more of it, or say which kind: --type content",
  });
}
