/** The `ctrd` command line as a user starts it: from its build, with the workspace's Node.js. */
import { join } from "node:path";
import { mustRun, nodeBinary, workspaceRoot } from "@ctrd/testkit/fixtures";

export const commandLine: readonly [program: string, ...args: string[]] = [
  nodeBinary(),
  join(workspaceRoot, "packages/cli/dist/main.js"),
];

/** Runs it. @throws unless it exits with 0 */
export async function ctrd(...args: string[]): Promise<void> {
  const [program, ...rest] = commandLine;
  await mustRun(program, [...rest, ...args], { timeoutMs: 300_000 });
}
