/**
 * `ctrd operations`: what the daemon is doing, and for whom.
 *
 * @module
 */
import { isKind } from "@ctrd/core/errors";
import type { OperationObject, OperationRecord, StageRecord } from "@ctrd/core/operations";
import { ageText, describeStage, nameOfObject } from "@ctrd/core/operations";
import { millisFromTimestamp } from "@ctrd/core/records";
import { CommandFailure } from "../failure.ts";
import type { Column, OutputFlags } from "../output/format.ts";
import { formatRows } from "../output/format.ts";
import { formatTime } from "../output/quantities.ts";
import type { Session } from "../session.ts";

/** Flags of `ctrd operations`. */
export interface OperationsFlags extends OutputFlags {
  all?: boolean;
}

/** The call that asks. */
const asking = "Operations/List";

const columns: readonly Column<OperationRecord>[] = [
  { name: "ID", title: "ID", value: ({ id }) => id },
  { name: "Operation", title: "OPERATION", value: ({ name }) => name },
  { name: "Object", title: "OBJECT", value: ({ object }) => object ?? null, text: objectText },
  { name: "Namespace", title: "NAMESPACE", value: ({ namespace }) => namespace, text: (row) => row.namespace || "-" },
  { name: "Age", title: "AGE", value: ({ startedAt }) => Date.now() - millisFromTimestamp(startedAt), text: ageOf },
  { name: "Caller", title: "CALLER", value: ({ caller }) => caller },
  {
    name: "Stages",
    title: "STAGE",
    value: ({ stages }) => stages.map(plainStage),
    text: (row) => lastStage(row) || "-",
  },
  { name: "StartedAt", value: ({ startedAt }) => formatTime(startedAt) },
];

/** Runs `ctrd operations`. */
export async function listOperations(session: Session, flags: OperationsFlags): Promise<void> {
  const operations = await operationsOf(session, flags.all ?? false);
  if (operations === undefined) {
    throw new CommandFailure("the daemon does not tell what it is doing", { remedy: "ctrd does; containerd does not" });
  }
  process.stdout.write(formatRows(operations, columns, flags));
}

/**
 * Operations under way; undefined when the daemon does not tell.
 *
 * @param passive also those that only wait for something to happen
 */
export async function operationsOf(
  { client, signal }: Session,
  passive: boolean,
): Promise<OperationRecord[] | undefined> {
  try {
    const operations = await client.operations({ signal, passive });
    return operations.filter(({ name }) => name !== asking);
  } catch (error) {
    if (isKind(error, "not-implemented")) return undefined;
    throw error;
  }
}

/** The operations on an object, and what these wait for. */
export function concerning(operations: readonly OperationRecord[], object: OperationObject): OperationRecord[] {
  const isIt = (one: OperationObject | undefined): boolean => one?.kind === object.kind && one.id === object.id;
  const found = new Set(
    operations.filter((each) => isIt(each.object) || each.stages.some((stage) => isIt(stage.object))),
  );
  for (const { stages } of found) {
    for (const { waitsFor } of stages) {
      const other = operations.find(({ id }) => id === waitsFor);
      if (other !== undefined) found.add(other);
    }
  }
  return [...found];
}

/** `Tasks/Create by ctr (pid 4711), for 3.2s; stage: create in the shim, for 3.1s`. */
export function sentenceOf(operation: OperationRecord): string {
  const { name, caller } = operation;
  const stage = lastStage(operation);
  return `${name} by ${caller}, for ${ageOf(operation)}${stage === "" ? "" : `; stage: ${stage}`}`;
}

/** An operation for programs. */
export function plainOperation(operation: OperationRecord): Record<string, unknown> {
  return Object.fromEntries(columns.map((column) => [column.name, column.value(operation)]));
}

function objectText({ object }: OperationRecord): string {
  return object === undefined ? "-" : nameOfObject(object);
}

function ageOf({ startedAt }: OperationRecord): string {
  return ageText(millisFromTimestamp(startedAt));
}

/** The innermost or latest stage. */
function lastStage({ stages }: OperationRecord): string {
  const stage = stages.at(-1);
  if (stage === undefined) return "";
  const waiting = stage.waitsFor === 0n ? "" : `, operation ${stage.waitsFor}`;
  return `${describeStage(stage)}, for ${ageText(millisFromTimestamp(stage.startedAt))}${waiting}`;
}

function plainStage({ name, object, startedAt, waitsFor }: StageRecord): Record<string, unknown> {
  return { Name: name, Object: object ?? null, StartedAt: formatTime(startedAt), WaitsFor: waitsFor };
}
