/**
 * `ctrd explain`: what keeps an object, and what would free it.
 *
 * @module
 */
import type { Client, HeldObject, HoldingChain, ReferenceGraph } from "@ctrd/client";
import { referenceGraph } from "@ctrd/client";
import { isKind } from "@ctrd/core/errors";
import { toJson } from "../output/format.ts";
import { formatBytes } from "../output/quantities.ts";
import type { Session } from "../session.ts";
import { findObject } from "./find-object.ts";
import { freeingCommand, nameOfObject, timesOf } from "./held-names.ts";

/** Flags of `ctrd explain`. */
export interface ExplainFlags {
  type?: string;
  json?: boolean;
}

/** Chains that are printed; JSON has all. */
const shownChains = 12;

/** Runs `ctrd explain`. */
export async function explain(session: Session, text: string, flags: ExplainFlags): Promise<void> {
  const graph = await referenceGraph(session.client, { signal: session.signal });
  const { object, others } = findObject(graph, text, flags.type);
  const chains = graph.holdersOf(object);
  const size = await sizeOf(session, object, session.client);
  if (flags.json === true) {
    process.stdout.write(`${toJson(asJson(graph, object, chains, size))}\n`);
    return;
  }
  const lines = [
    headline(object, size),
    ...holderLines(object, chains),
    ...keptLines(graph, object),
    ...freeLines(graph, object, chains),
    ...others.map((other) => `Also called so: ${nameOfObject(other)} (--type ${other.kind})`),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

/** Bytes of an object of its own; undefined where that has no meaning. */
export async function sizeOf(
  { signal }: Session,
  { kind, id, snapshotter, size }: HeldObject,
  client: Client,
): Promise<bigint | undefined> {
  if (kind !== "snapshot") return size;
  try {
    return (await client.snapshotter(snapshotter).usage(client.context({ signal }), id)).size;
  } catch (error) {
    if (isKind(error, "not-found")) return undefined;
    throw error;
  }
}

function headline(object: HeldObject, size: bigint | undefined): string {
  const facts = [...(size === undefined ? [] : [formatBytes(size)]), timesOf(object)].filter((fact) => fact !== "");
  return `${nameOfObject(object)}${facts.length === 0 ? "" : `: ${facts.join(", ")}`}`;
}

function holderLines(object: HeldObject, chains: readonly HoldingChain[]): string[] {
  const others = chains.filter((chain) => chain.length > 1);
  const lines: string[] = [];
  if (object.root !== undefined) lines.push(`Kept for its own sake: it is ${ownReason(object)}.`);
  if (others.length > 0) lines.push(`Kept by ${others.length === 1 ? "one object" : `${others.length} objects`}:`);
  for (const chain of others.slice(0, shownChains)) lines.push(...chainLines(chain));
  if (others.length > shownChains) lines.push(`  … and ${others.length - shownChains} more (--json has all)`);
  if (lines.length === 0) lines.push("Nothing keeps it.");
  return lines;
}

function ownReason({ kind, root, expiresAt }: HeldObject): string {
  if (kind === "content" || kind === "snapshot") return `labelled ${root}`;
  if (kind === "container" || kind === "sandbox") return `${root}, and those are never collected`;
  return expiresAt === undefined ? `${root}` : `${root}, until ${new Date(expiresAt).toISOString()}`;
}

/** Chains of more steps are shown without their middle. */
const shownSteps = 8;

function chainLines(chain: HoldingChain): string[] {
  const lines = allSteps(chain);
  const left = lines.length - shownSteps;
  if (left <= 1) return lines;
  const half = shownSteps / 2;
  return [...lines.slice(0, half), `${"  ".repeat(half)}  … ${left} more`, ...lines.slice(-half)];
}

function allSteps(chain: HoldingChain): string[] {
  return chain.map(({ object, via }, at) => {
    const times = at === 0 ? timesOf(object) : "";
    const text = `${nameOfObject(object)}${times === "" ? "" : ` (${times})`}`;
    if (at > 0) return `${"  ".repeat(Math.min(at, shownSteps / 2) + 1)}→ ${text}   [${via}]`;
    const mark = (object.kind === "content" || object.kind === "snapshot") && object.root !== undefined;
    return `  ${text}${mark ? `   [${object.root}]` : ""}`;
  });
}

/** What a collection would take as well, were it not for this object. */
function keptLines(graph: ReferenceGraph, object: HeldObject): string[] {
  const kept = graph.reachableFrom([object]).length - 1;
  if (kept <= 0) return [];
  return [`It keeps ${kept} other ${kept === 1 ? "object" : "objects"}.`];
}

function freeLines(graph: ReferenceGraph, object: HeldObject, chains: readonly HoldingChain[]): string[] {
  if (chains.length === 0) {
    if (object.kind === "container" || object.kind === "sandbox") return [];
    const only = graph.referrersOf(object).map(({ from }) => nameOfObject(from));
    const why = only.length === 0 ? "" : ` (only ${only.slice(0, 3).join(", ")} refers to it, which goes as well)`;
    return [
      `The next collection removes it${why}: soon after something is deleted, or after a number of writes.`,
      "To remove it now:",
      "  ctrd gc run",
    ];
  }
  return ["To free it:", ...chainCommands(chains).map((command) => `  ${command}`), "  ctrd gc run"];
}

/** Commands that make all roots let go, containers first: images refuse while a container is made of them. */
function chainCommands(chains: readonly HoldingChain[]): string[] {
  const roots = chains.flatMap(([first]) => (first === undefined ? [] : [first.object]));
  const sorted = roots.toSorted((a, b) => Number(b.kind === "container") - Number(a.kind === "container"));
  return sorted.flatMap((root) => freeingCommand(root) ?? []);
}

function asJson(
  graph: ReferenceGraph,
  object: HeldObject,
  chains: readonly HoldingChain[],
  size: bigint | undefined,
): Record<string, unknown> {
  return {
    ...briefly(object),
    Namespace: graph.namespace,
    Size: size ?? null,
    Labels: object.labels,
    Kept: graph.isKept(object),
    Root: object.root ?? null,
    Holders: chains.map((chain) => chain.map((step) => ({ ...briefly(step.object), Via: step.via }))),
    Keeps: graph.referencesOf(object).map(({ to, via }) => ({ Type: to.kind, ID: to.id, Via: via })),
    Free: chains.length === 0 ? ["ctrd gc run"] : [...chainCommands(chains), "ctrd gc run"],
  };
}

function briefly({ kind, id, snapshotter, createdAt, updatedAt, expiresAt }: HeldObject): Record<string, unknown> {
  return {
    Type: kind,
    ID: id,
    ...(snapshotter === "" ? {} : { Snapshotter: snapshotter }),
    CreatedAt: createdAt?.toISOString() ?? null,
    UpdatedAt: updatedAt?.toISOString() ?? null,
    ...(expiresAt === undefined ? {} : { ExpiresAt: new Date(expiresAt).toISOString() }),
  };
}
