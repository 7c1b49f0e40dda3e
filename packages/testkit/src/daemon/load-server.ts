import { failedPrecondition } from "@ctrd/core/errors";
import type { ServerModule } from "./server-module.ts";

const serverPackage: string = "@ctrd/server";

/**
 * Imports the server, an optional peer dependency. This is the one place where testkit reaches an app
 * (docs/adr/0008-testkit-starts-the-server.md); the name is not a literal, so that the compiler does not follow it.
 *
 * @throws ContainerdError `failed-precondition` when it is not installed, with the remedy
 */
export async function loadServer(): Promise<ServerModule> {
  try {
    return (await import(serverPackage)) as ServerModule;
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw failedPrecondition(
      `startTestDaemon starts the daemon of ${serverPackage}, which is not installed; ` +
        `run npm install --save-dev ${serverPackage}`,
      { cause: error },
    );
  }
}

/** Whether it is the server that is missing, not something that the server itself imports. */
function isMissing(error: unknown): boolean {
  if (!(error instanceof Error) || !("code" in error) || error.code !== "ERR_MODULE_NOT_FOUND") return false;
  return error.message.includes(`'${serverPackage}'`);
}
