/**
 * Where the command line keeps what belongs to a container: its log, FIFOs, options of the logging program.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Container } from "@ctrd/client";
import type { Session } from "../session.ts";
import { directoryLabel } from "./labels.ts";

/** The variable that sets the root. */
export const rootVariable = "CTRD_CLI_ROOT";

/** Root of the directories of all daemons and namespaces. */
export function root(): string {
  return process.env[rootVariable] || "/var/lib/ctrd-cli";
}

/** Makes the directory of a new container. Containers of different daemons may have the same id. */
export async function makeDirectory({ address, client }: Session, id: string): Promise<string> {
  const daemon = createHash("sha256").update(address).digest("hex").slice(0, 8);
  const directory = join(root(), daemon, client.namespace, id);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  return directory;
}

/** The directory of a container; undefined when another client made it. */
export function directoryOf(container: Container): string | undefined {
  const directory = container.labels.get(directoryLabel);
  // Labels are free text, and what they name is removed.
  return directory?.startsWith(`${root()}/`) === true ? join(directory) : undefined;
}

/** Removes the directory of a container. */
export async function removeDirectory(container: Container): Promise<void> {
  const directory = directoryOf(container);
  if (directory !== undefined && directory.endsWith(`/${container.id}`))
    await rm(directory, { recursive: true, force: true });
}
