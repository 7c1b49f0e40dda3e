/**
 * Finding containers by what people type: a name, an id, or the beginning of an id.
 *
 * @module
 */
import type { Container } from "@ctrd/client";
import { CommandFailure } from "../failure.ts";
import type { Session } from "../session.ts";
import { nameOf, shortId } from "./labels.ts";

/** @throws CommandFailure when none or more than one is meant */
export async function findContainer(session: Session, text: string): Promise<Container> {
  return choose(await session.client.containers([], { signal: session.signal }), text, session.client.namespace);
}

/** As {@link findContainer}, for several. */
export async function findContainers(session: Session, texts: readonly string[]): Promise<Container[]> {
  const all = await session.client.containers([], { signal: session.signal });
  return texts.map((text) => choose(all, text, session.client.namespace));
}

function choose(all: readonly Container[], text: string, namespace: string): Container {
  const exact = all.find(({ id }) => id === text) ?? all.find(({ labels }) => nameOf(labels) === text);
  if (exact !== undefined) return exact;
  const fitting = text === "" ? [] : all.filter(({ id }) => id.startsWith(text));
  const [only, ...more] = fitting;
  if (only === undefined) {
    throw new CommandFailure(`no container "${text}" in namespace "${namespace}"`, {
      remedy: "list all with: ctrd ps --all",
    });
  }
  if (more.length === 0) return only;
  const list = fitting.map(({ id, labels }) => `${shortId(id)} (${nameOf(labels) || "no name"})`).join(", ");
  throw new CommandFailure(`container "${text}" is ambiguous: ${list}`, { remedy: "write more of the id" });
}

/** Runs `body` for each container that is named, and goes on after failures. */
export async function forEachContainer(
  session: Session,
  texts: readonly string[],
  body: (container: Container) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = [];
  for (const text of texts) {
    try {
      await body(await findContainer(session, text));
      process.stdout.write(`${text}\n`);
    } catch (error) {
      session.signal.throwIfAborted();
      failures.push(error);
    }
  }
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) {
    throw new CommandFailure(
      failures.map((error) => (error instanceof Error ? error.message : String(error))).join("; "),
    );
  }
}
