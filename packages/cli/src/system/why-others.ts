/**
 * `ctrd why` of what is under way, and of images and uploads.
 *
 * @module
 */
import type { IngestStatus } from "@ctrd/core/content";
import { isKind } from "@ctrd/core/errors";
import type { OperationObject, OperationRecord } from "@ctrd/core/operations";
import { completeReference } from "@ctrd/core/references";
import { lookUp } from "../images/find.ts";
import { formatAge, formatBytes } from "../output/quantities.ts";
import type { Session } from "../session.ts";
import { concerning, plainOperation, sentenceOf } from "./operations.ts";

/** What is known, and what it means. */
export interface Account {
  readonly facts: Record<string, unknown>;
  /** Sentences, the most important first. */
  readonly verdict: string[];
  readonly next: string[];
}

/** Tells which operations on an object are under way. */
export function describeOperations(
  session: Session,
  object: OperationObject,
  operations: readonly OperationRecord[],
  { facts, verdict }: Account,
): OperationRecord[] {
  const here = operations.filter(({ namespace }) => namespace === "" || namespace === session.ctx.namespace);
  const found = concerning(here, object);
  for (const operation of found) verdict.push(`Under way: ${sentenceOf(operation)}.`);
  if (found.length > 0) facts["Operations"] = found.map(plainOperation);
  return found;
}

/** Tells of an image or an upload of that name. False when there is neither, and nothing is done with one. */
export async function describeOther(
  session: Session,
  name: string,
  operations: readonly OperationRecord[],
  account: Account,
): Promise<boolean> {
  return (
    (await describeUpload(session, name, operations, account)) || describeImage(session, name, operations, account)
  );
}

async function describeImage(
  session: Session,
  text: string,
  operations: readonly OperationRecord[],
  account: Account,
): Promise<boolean> {
  const image = await lookUp(session, text);
  const name = image?.name ?? fullName(text);
  const found = describeOperations(session, { kind: "image", id: name }, operations, account);
  if (image === undefined && found.length === 0) return false;
  const { facts, verdict, next } = account;
  facts["Image"] = name;
  facts["Target"] = image === undefined ? "none yet" : image.target.digest;
  if (found.length === 0) {
    verdict.push("It is there, and nothing is done with it.");
    next.push(`ctrd explain ${text}`);
  }
  return true;
}

function fullName(text: string): string {
  try {
    return completeReference(text);
  } catch (error) {
    if (isKind(error, "invalid-argument")) return text;
    throw error;
  }
}

async function describeUpload(
  session: Session,
  ref: string,
  operations: readonly OperationRecord[],
  account: Account,
): Promise<boolean> {
  const status = await uploadOf(session, ref);
  const found = describeOperations(session, { kind: "ingest", id: ref }, operations, account);
  if (status === undefined) return found.length > 0;
  const { facts, verdict, next } = account;
  facts["Upload"] = ref;
  facts["Bytes"] = formatBytes(status.offset) + (status.total > 0n ? ` of ${formatBytes(status.total)}` : "");
  facts["Begun"] = formatAge(status.startedAt);
  facts["Changed"] = formatAge(status.updatedAt);
  if (found.length === 0) {
    verdict.push("Nobody writes to it: it goes on when somebody does, or is collected when its lease ends.");
    next.push(`ctrd content abort ${ref}`);
  }
  return true;
}

async function uploadOf({ client, ctx }: Session, ref: string): Promise<IngestStatus | undefined> {
  try {
    return await client.content.status(ctx, ref);
  } catch (error) {
    if (isKind(error, "not-found") || isKind(error, "invalid-argument")) return undefined;
    throw error;
  }
}
