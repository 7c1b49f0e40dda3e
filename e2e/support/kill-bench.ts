/** A daemon that is killed while it works, for the test and for `npm run kill-anywhere`. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Client } from "@ctrd/client";
import type { KillReport } from "@ctrd/testkit/faults";
import { killAnywhere, Ledger } from "@ctrd/testkit/faults";
import { buildImage, pushImage } from "@ctrd/testkit/fixtures";
import { cliOf } from "./cli.ts";
import { until } from "./command.ts";
import type { Harness } from "./harness.ts";
import { endContainer, killWorks, startContainer, withClient } from "./kill-works.ts";
import { leftMounts, leftProcesses } from "./leaks.ts";
import { list } from "./machine-state.ts";

/** Which kills. */
export interface KillPlan {
  readonly seed: number;
  readonly kills: number;
  readonly settleEvery?: number;
  readonly progress?: (line: string) => void;
}

/** Kills the daemon of the harness. @throws with the seed and all that is wrong */
export async function killDaemon(h: Harness, plan: KillPlan): Promise<KillReport> {
  const { daemon, image } = h;
  const pulled = await pushImage(h.registry, "e2e/pulled", "1", await layers(1));
  const transferred = await pushImage(h.registry, "e2e/transferred", "1", await layers(2));
  const ledger = new Ledger();
  // These run on through all kills.
  const ids = ["on1", "on2"].map((name) => daemon.id(name));
  await withClient(daemon, async (client) => {
    for (const id of ids) await startContainer(daemon, client, id, image, ledger);
  });
  const before = await inventory(h);
  const works = killWorks({ daemon, image, pulled, transferred });
  const settled = (): Promise<string[]> => leftOver(h, before);
  const report = await killAnywhere({ daemon, works, ledger, settled, ...plan });
  await withClient(daemon, async (client) => {
    for (const id of ids) await endContainer(client, id, ledger);
  });
  return report;
}

/** An image whose pull takes a while: small layers, and one of many files. */
export async function layers(seed: number): ReturnType<typeof buildImage> {
  const small = [1, 2, 3].map((index) => ({ entries: [{ path: `file-${index}`, data: `${seed} ${index}` }] }));
  return buildImage({ layers: [...small, { manyFiles: { count: 300, totalBytes: 4_000_000, seed } }] });
}

/** What is wrong when no work runs and all are cleaned up. */
export async function leftOver(h: Harness, before: readonly string[]): Promise<string[]> {
  await withClient(h.daemon, collect);
  let difference: string[] = [];
  await until("nothing is left over", async () => {
    const now = await inventory(h);
    difference = [
      ...now.filter((line) => !before.includes(line)).map((line) => `left over: ${line}`),
      ...before.filter((line) => !now.includes(line)).map((line) => `lost: ${line}`),
    ];
    return difference.length === 0;
  }).catch(() => undefined); // the difference says more
  const { code, stdout, stderr } = await cliOf(h).attempt(["doctor", "--json", "--deep", "--patience", "1"]);
  const findings = stdout.split("\n").filter((line) => line !== "");
  if (code !== 0 && findings.length === 0) findings.push(`exit code ${code}: ${stderr}`);
  return [...difference, ...findings.map((line) => `ctrd doctor: ${line}`)];
}

/** Ends the leases of clients that saw the daemon die, which would last a day, and collects once. */
async function collect(client: Client): Promise<void> {
  for (const lease of await client.listLeases()) await lease.delete();
  await (await client.createLease({ id: "collect" })).delete({ sync: true });
}

/** Everything that the daemon has, in its records, on the disk and in the machine, one line each. */
export async function inventory(h: Harness): Promise<string[]> {
  const { daemon } = h;
  const content = join(daemon.root, "io.containerd.content.v1.content");
  const lines = await withClient(daemon, async (client) => {
    const ctx = client.context();
    const found = [
      ...(await client.listImages()).map(({ name }) => `image ${name}`),
      ...(await client.containers()).map(({ id }) => `container ${id}`),
      ...(await client.tasks()).map(({ id }) => `task ${id}`),
      ...(await client.listLeases()).map(({ id }) => `lease ${id}`),
      ...(await client.content.listStatuses(ctx, [])).map(({ ref }) => `ingest ${ref}`),
    ];
    for await (const { digest } of client.content.list(ctx, [])) found.push(`content ${digest}`);
    for await (const { name } of client.snapshotter("overlayfs").walk(ctx, [])) found.push(`snapshot ${name}`);
    return found;
  });
  return [
    ...lines,
    ...readdirSync(join(content, "blobs/sha256")).map((name) => `blob file ${name}`),
    ...list(join(content, "ingest")).map((path) => `ingest directory ${path}`),
    ...list(join(daemon.root, "io.containerd.snapshotter.v1.overlayfs/snapshots")).map((path) => `directory ${path}`),
    ...list(join(daemon.state, "io.containerd.runtime.v2.task", daemon.namespace)).map((path) => `bundle ${path}`),
    ...list(join(daemon.root, "io.containerd.runtime.v2.task", daemon.namespace)).map((path) => `work of ${path}`),
    ...list(`/run/containerd/runc/${daemon.namespace}`).map((path) => `runc ${path}`),
    ...list(daemon.tmp).map((path) => `temporary ${path}`),
    ...leftMounts(daemon.dir),
    ...leftProcesses([`-namespace ${daemon.namespace} `]),
  ];
}
