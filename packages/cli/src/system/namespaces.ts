/**
 * Commands on namespaces.
 *
 * @module
 */
import { isKind, messageOf } from "@ctrd/core/errors";
import type { Namespace } from "@ctrd/core/namespaces";
import { CommandFailure } from "../failure.ts";
import type { Column, OutputFlags } from "../output/format.ts";
import { formatRows } from "../output/format.ts";
import { labelsText, parseAssignments } from "../output/assignments.ts";
import type { Session } from "../session.ts";

const columns: readonly Column<Namespace>[] = [
  { name: "Name", title: "NAME", value: ({ name }) => name },
  { name: "Labels", title: "LABELS", value: ({ labels }) => labels, text: ({ labels }) => labelsText(labels) },
];

/** Runs `ctrd namespace ls`. */
export async function listNamespaces(session: Session, flags: OutputFlags): Promise<void> {
  const namespaces = await session.namespaces.list(session.ctx);
  process.stdout.write(formatRows(namespaces, columns, flags));
}

/** Runs `ctrd namespace create`. */
export async function createNamespace(session: Session, name: string, labels: readonly string[]): Promise<void> {
  await session.namespaces.create(session.ctx, { name, labels: parseAssignments("--label", labels) });
}

/** Runs `ctrd namespace rm`. */
export async function removeNamespace(session: Session, name: string): Promise<void> {
  try {
    await session.namespaces.delete(session.ctx, name);
  } catch (error) {
    if (!isKind(error, "failed-precondition")) throw error;
    throw new CommandFailure(messageOf(error).replace(/: failed precondition$/, ""), {
      remedy: `empty it first; look with: ctrd -n ${name} ps -a; ctrd -n ${name} images`,
      cause: error,
    });
  }
}
