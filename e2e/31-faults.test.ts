/** Issue 6, Shows 1: "Faults to survive" (docs/faults.md has the table); kills at each failpoint of what a daemon does. */
import { afterAll, beforeAll, expect } from "vitest";
import { killAtPoints, Ledger } from "@ctrd/testkit/faults";
import { pushImage } from "@ctrd/testkit/fixtures";
import { openHarness, type Harness } from "./support/harness.ts";
import { inventory, layers, leftOver } from "./support/kill-bench.ts";
import { endContainer, killWorks, startContainer, withClient } from "./support/kill-works.ts";
import { ctrdTest } from "./support/peers.ts";

let h: Harness;
let before: string[];
let works: Map<string, ReturnType<typeof killWorks>[number]>;
const ledger = new Ledger();
let runsOn: string;

beforeAll(async () => {
  h = await openHarness("faults");
  const pulled = await pushImage(h.registry, "e2e/pulled", "1", await layers(1));
  const transferred = await pushImage(h.registry, "e2e/transferred", "1", await layers(2));
  const { daemon, image } = h;
  works = new Map(killWorks({ daemon, image, pulled, transferred }).map((work) => [work.name, work]));
  runsOn = daemon.id("on");
  await withClient(daemon, (client) => startContainer(daemon, client, runsOn, image, ledger));
  before = await inventory(h);
});
afterAll(async () => {
  await h?.daemon.restart();
  await withClient(h.daemon, (client) => endContainer(client, runsOn, ledger));
  await h?.close();
});

async function kill(name: string, points: readonly string[]): Promise<void> {
  const work = works.get(name);
  if (work === undefined) throw new Error(`no work "${name}"`);
  const progress = (line: string): void => void (process.env["VERBOSE"] && process.stderr.write(`${line}\n`));
  await killAtPoints({ daemon: h.daemon, work, points, ledger, settled: () => leftOver(h, before), progress });
  expect(ledger.size).toBeGreaterThan(0);
}

// What a pull shares with the works below is not repeated with it: each point takes a second.
ctrdTest(
  "F1: kill -9 of the daemon at each failpoint of a pull",
  async () => {
    await kill("pull by Transfer", [
      "registry.request",
      "registry.read",
      "content.record",
      "metadata.commit=4*off->kill",
      "database.written=9*off->kill",
      "diff.apply",
      "unpack.commit",
      "snapshot.record-commit",
      "pull.record",
      "events.publish",
    ]);
  },
  180_000,
);

ctrdTest(
  "F1: kill -9 of the daemon at each failpoint of commits of content and snapshots, and of prepare",
  async () => {
    await kill("write content", [
      "database.write=6*off->kill",
      "content.ingest",
      "content.write=5*off->kill",
      "content.sync",
      "content.rename=2*off->kill",
      "content.sync-directory",
      "content.published",
      "content.record",
    ]);
    await kill("prepare, commit and remove snapshots", [
      "snapshot.fill",
      "snapshot.rename",
      "snapshot.record",
      "snapshot.commit",
      "snapshot.record-commit=1*off->kill",
    ]);
  },
  180_000,
);

ctrdTest(
  "F1: kill -9 of the daemon at each failpoint of create and delete",
  async () => {
    await kill("run and delete a container", [
      "bundle.create",
      "shim.start",
      "shim.connect",
      "shim.create",
      "shim.created",
      "shim.start-process",
      "shim.delete",
      "shim.deleted",
      "bundle.remove",
      "bundle.unmount",
    ]);
  },
  180_000,
);

ctrdTest(
  "F1: kill -9 of the daemon at each failpoint of a collection",
  async () => {
    await kill("collect what a lease held", [
      "lease.delete",
      "gc.mark",
      "gc.sweep",
      "gc.clean",
      "gc.remove",
      "content.delete",
      "snapshot.remove",
      "snapshot.remove-directory",
    ]);
  },
  180_000,
);
