/** Issue 6, Shows 4: explain, gc, df, prune, tasks and why on prepared situations, against ctrd and containerd. */
import type { Client } from "@ctrd/client";
import { connect } from "@ctrd/client";
import { layeredImage, pushImage } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Cli } from "./support/cli.ts";
import { cliOf } from "./support/cli.ts";
import { describe as describeResult, until } from "./support/command.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { daemonKind, peerTest } from "./support/peers.ts";
import { leaveIngest, putBlob, putSnapshot } from "./support/stored-things.ts";
import { openTerminal } from "./support/terminal.ts";

// Collections only when they are asked for: garbage stays until the test has looked at it.
const config = '[plugins."io.containerd.gc.v1.scheduler"]\npause_threshold = 0.000000001\nmutation_threshold = 0\n';
const gc = (name: string): string => `containerd.io/gc.${name}`;
const past = "2020-01-01T00:00:00Z";

describe.each(["ctrd", "containerd"] as const)("6.4: on %s", (kind) => {
  let h: Harness;
  let cli: Cli;
  let client: Client;
  beforeAll(async () => {
    h = await openHarness(`ops-${kind}`, { kind, config });
    cli = cliOf(h);
    client = await connect(h.daemon.address, { namespace: h.daemon.namespace });
  });
  afterAll(async () => {
    client?.close();
    await h?.close();
  });

  /** Output with ages and sizes left out. */
  const explain = async (...args: string[]): Promise<string> =>
    (await cli.ctrd("explain", ...args))
      .replaceAll(/(?:, )?changed [^,)\n]+ ago/g, "")
      .replaceAll(/(?:less than a|\d+) (?:second|minute)s?(?= ago)/g, "AGE")
      .replaceAll(/\d+(?:\.\d+)? [KM]?i?B/g, "SIZE");

  test("explain: a layer, through its image", async () => {
    const [layer = ""] = h.busybox.layers.map(({ descriptor }) => descriptor.digest);
    const { digest } = h.busybox.root.descriptor;
    expect(await explain(layer.slice(7, 25), "--type", "content")).toBe(
      [
        `content ${layer}: SIZE, created AGE ago`,
        "Kept by one object:",
        `  image "${h.image}" (created AGE ago)`,
        `    → content ${digest}   [target]`,
        `      → content ${layer}   [containerd.io/gc.ref.content.l.0]`,
        "To free it:",
        `  ctrd rmi ${h.image}`,
        "  ctrd gc run",
        "",
      ].join("\n"),
    );
  });

  test("explain: leases, gc.root, an upload, nothing at all", async () => {
    const lease = await client.createLease({ id: "holder", expiresInMs: 7_200_000 });
    const leased = await putBlob(lease.client, "leased");
    expect(await explain(leased)).toMatch(
      /Kept by one object:\n {2}lease holder \(created AGE ago, expires in (?:1 hour|2 hours)\)\n {4}→ content .* {3}\[leased\]\n/,
    );
    expect(await explain("holder")).toMatch(/its own sake: it is a lease, until 20.*It keeps 1 other object\./s);
    const child = await putBlob(client, "child");
    const root = await putBlob(client, "root", { [gc("root")]: "x", [gc("ref.content.0")]: child });
    const rooted = await explain(child);
    expect(rooted).toContain(`  content ${root} (created AGE ago)   [${gc("root")}]\n`);
    expect(rooted).toContain(`\n  ctrd content label ${root} ${gc("root")}=\n`);
    await leaveIngest(client, "upload-1", "half");
    expect(await explain("upload-1")).toMatch(
      /^ingest upload-1: SIZE,.*an upload under way, until 20.*ctrd content abort/s,
    );
    const nothing = await explain(await putBlob(client, "nothing"));
    expect(nothing).toContain("Nothing keeps it.\nThe next collection removes it: soon");
    expect(nothing).toContain("\n  ctrd gc run\n");
    // What it says would free it does.
    for (const line of rooted.split("\n").filter((text) => text.startsWith("  ctrd ")))
      await cli.ctrd(...line.trim().split(" ").slice(1));
    expect(await cli.attempt(["explain", child])).toMatchObject({ code: 1 });
    await client.content.abort(client.context(), "upload-1");
    await lease.delete();
  });

  test("gc: what a dry run lists is what a collection then removes", async () => {
    await prepareGarbage(h, client);
    const dry = (await cli.ctrd("gc", "--dry-run", "--json"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Removed);
    const result = JSON.parse(await cli.ctrd("gc", "run", "--json")) as {
      Removed: object;
      Bytes: number;
      Objects: Removed[];
    };
    expect(result.Objects.map(idOf).sort()).toEqual(dry.map(idOf).sort());
    expect(dry.map(idOf)).toEqual(expect.arrayContaining(["lease expired", "snapshot top", "snapshot base"]));
    expect(result.Bytes).toBe(dry.reduce((sum, { Size }) => sum + Size, 0));
    expect(result.Bytes).toBeGreaterThan(0);
    expect(dry.every(({ Why }) => Why !== "")).toBe(true);
    expect(await cli.ctrd("gc", "--dry-run")).toBe("A collection would remove nothing.\n");
    expect(await cli.ctrd("gc", "run")).toMatch(/^Removed nothing, in \d+ ms\.\n$/);
    expect(await cli.ctrd("images", "-q")).not.toBe("");
    const left = await Array.fromAsync(client.content.list(client.context(), []));
    expect(left.filter(({ labels }) => labels.has("garbage"))).toEqual([]);
    expect(left.filter(({ labels }) => labels.has("kept"))).toHaveLength(4);
    for (const lease of await client.listLeases()) await lease.delete();
    // containerd 1.6 keeps it.
    if ((await client.listImages(["name==expired:1"])).length > 0)
      await client.images.delete(client.context(), "expired:1");
  });

  // All else is made of the same calls: once is enough.
  if (kind !== daemonKind) return;

  test("explain: a container and its snapshot; names that are none or several", async () => {
    const id = await cli.background("--name", "held", h.image, "sleep", "1000");
    const text = await explain("held");
    expect(text).toMatch(/^container .*\nKept for its own sake: it is a container, and those are never collected\./);
    expect(text).toContain(`Also called so: snapshot ${id} (overlayfs) (--type snapshot)`);
    const json = JSON.parse(await cli.ctrd("explain", "--json", "--type", "snapshot", id.slice(0, 10))) as object;
    expect(json).toMatchObject({
      Type: "snapshot",
      Kept: true,
      Holders: [
        [
          { Type: "container", ID: id, Via: "" },
          { Type: "snapshot", ID: id, Via: "snapshot of" },
        ],
      ],
      Free: [`ctrd rm ${id}`, "ctrd gc run"],
    });
    await cli.ctrd("rm", "-f", "held");
    const several = await cli.attempt(["explain", "sha256:"]);
    expect(several).toMatchObject({ code: 1, stderr: expect.stringMatching(/ambiguous: .*content sha256:/) });
    const none = await cli.attempt(["explain", "no-such-thing"]);
    expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining("ctrd content ls") });
  });

  test("system df: images that share layers", async () => {
    const two = await pushImage(h.registry, "e2e/two", "1", await layeredImage(2));
    const four = await pushImage(h.registry, "e2e/four", "1", await layeredImage(4));
    for (const reference of [two, four]) await cli.ctrd("pull", "-q", reference);
    await cli.ctrd("gc", "run");
    const usage = JSON.parse(await cli.ctrd("system", "df", "-v", "--json")) as { Images: ImageUsage[] };
    const of = (name: string): ImageUsage | undefined => usage.Images.find(({ Names }) => Names.includes(name));
    const [small, large, busybox] = [of(two), of(four), of(h.image)];
    expect(small?.Shared).toBeGreaterThan(0);
    expect(small?.Shared).toBe(large?.Shared);
    expect(busybox?.Shared).toBe(0);
    for (const one of [small, large, busybox]) {
      expect((one?.Shared ?? 0) + (one?.Exclusive ?? 0)).toBe((one?.Content ?? 0) + (one?.Snapshots ?? 0));
    }
    const text = await cli.ctrd("system", "df");
    expect(text).toMatch(/^TYPE +TOTAL +ACTIVE +SIZE +RECLAIMABLE\nimages +3 +0 /);
    expect(text).toMatch(/\nImages\nIMAGE +ID +CONTENT +SNAPSHOTS +SHARED +EXCLUSIVE +CONTAINERS\n.*e2e\/busybox:1 /);
    // What it calls exclusive is what removing the image frees.
    await client.images.delete(client.context(), four);
    const freed = JSON.parse(await cli.ctrd("gc", "run", "--json")) as { Bytes: number };
    expect(freed.Bytes).toBe(large?.Exclusive);
    await client.images.delete(client.context(), two);
  });

  test("tasks and why: a container that runs, that was killed, that has failed", async () => {
    const id = await cli.background("--name", "life", h.image, "sleep", "1000");
    expect(await cli.ctrd("tasks", "ls")).toMatch(new RegExp(`^TASK +PID +STATUS +EXIT\n${id} +\\d+ +running +-\n$`));
    const { PID } = JSON.parse(await cli.ctrd("tasks", "inspect", id)) as { PID: number };
    expect(await cli.ctrd("tasks", "ps", "-q", id)).toBe(`${PID}\n`);
    expect(JSON.parse(await cli.ctrd("tasks", "metrics", id))).toMatchObject({ ID: id, PIDs: 1 });
    const running = await cli.ctrd("why", "life");
    expect(running).toMatch(/^It runs\.\n/);
    expect(running).toMatch(
      new RegExp(`Shim: +process \\d+, socket /run/\\S+ \\(answers\\)\nProcess: +${PID} sleep 1000\n`),
    );
    await cli.ctrd("tasks", "kill", "-s", "KILL", id);
    await until("it has ended", async () => (await cli.ctrd("tasks", "ls")).includes("stopped"));
    const killed = await cli.ctrd("why", "life");
    expect(killed).toMatch(/^It has ended .* ago with exit code 137, by SIGKILL:/);
    expect(killed).toContain("\nNext:\n  ctrd logs life\n  ctrd start life\n");
    expect(await cli.ctrd("tasks", "rm", id)).toBe(`${id}: exit status 137\n`);
    expect(JSON.parse(await cli.ctrd("why", "--json", "life"))).toMatchObject({
      Task: "none",
      Bundle: "none",
      Shim: "none",
    });
    await cli.ctrd("rm", "life");
    expect(await cli.attempt(["tasks", "inspect", id])).toMatchObject({ code: 1 });
  });

  test("system prune: what does not run, what is not used", async () => {
    // Networks are the machine's: those of other tests are not to be pruned.
    const prune = async (...flags: string[]): Promise<string> => {
      const env = { CTRD_CNI_CONFIG_DIR: h.path("cni") };
      const result = await cli.attempt(["system", "prune", "-f", ...flags], { env });
      if (result.code !== 0) throw new Error(describeResult(result));
      return result.stdout;
    };
    const run = async (name: string, ...command: string[]): Promise<string> =>
      cli.background("--name", name, h.image, ...command);
    const stopped = await run("stopped", "sh", "-c", "echo x > /file; exit 3");
    await run("running", "sleep", "1000");
    await until("one has ended", async () => (await cli.ctrd("ps", "-a")).includes("Exited (3)"));
    await cli.background("--name", "writes", "-v", "/scratch", h.image, "sh", "-c", "echo x > /scratch/file");
    await until("another has ended", async () => (await cli.ctrd("ps", "-a")).includes("Exited (0)"));
    expect(await cli.ctrd("system", "df", "-v")).toMatch(
      /\nvolumes +1 +1 +[1-9].*\nVOLUME +SIZE +USED BY\n\w+ +[1-9].* writes\n/s,
    );
    await cli.ctrd("rm", "writes");
    const untagged = h.image.replace(/:1$/, `@${h.busybox.root.descriptor.digest}`);
    await cli.ctrd("pull", "-q", untagged);
    await cli.ctrd("tag", h.image, "unused:1");
    expect(await cli.attempt(["system", "prune"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("--force"),
    });
    expect(await prune("--filter", "until=24h")).not.toContain("Deleted");
    const first = await prune();
    expect(first).toContain(
      `Deleted containers:\n  ${stopped.slice(0, 12)} stopped\nUntagged images:\n  ${untagged}\n`,
    );
    expect(first).toMatch(/Removed 1 image, 1 snapshot, 1 container \([1-9].*Total reclaimed space: [1-9]/s);
    const second = await prune("--all", "--volumes");
    expect(second).toMatch(/\nDeleted volumes:\n\w+\n/);
    expect(second).toContain("Untagged images:\n  unused:1\n");
    expect(await cli.ctrd("ps", "-a", "--format", "{{.Names}}")).toBe("running\n");
    expect(await cli.ctrd("images", "--format", "{{.Name}}")).toBe(`${h.image}\n`);
    await cli.ctrd("rm", "-f", "running");
  });

  peerTest("system prune: asks on a terminal", ["tmux"], async () => {
    await using terminal = await openTerminal(h.path("tmux"), 100, 30);
    for (const [name, value] of Object.entries(cli.env)) await terminal.type(`export ${name}=${value}`);
    await terminal.type(`clear; ${cli.command.join(" ")} system prune --all`);
    await terminal.waitFor(/This removes[^]*no container of it was made of[^]*Go on\? \[y\/N\]/);
    await terminal.type("n");
    await terminal.waitFor(/Nothing was removed\./);
    expect(await cli.ctrd("images", "--format", "{{.Name}}")).toBe(`${h.image}\n`);
  });
});

interface Removed {
  Namespace: string;
  Type: string;
  ID: string;
  Size: number;
  Why?: string;
}

interface ImageUsage {
  Names: string[];
  Content: number;
  Snapshots: number;
  Shared: number;
  Exclusive: number;
}

const idOf = ({ Type, ID }: Removed): string => `${Type} ${ID}`;

/** One of everything that is collected, and of everything that is not. */
async function prepareGarbage({ daemon, image }: Harness, client: Client): Promise<void> {
  const b = await putBlob(client, "referred by garbage", { garbage: "x" });
  await putBlob(client, "garbage", { garbage: "x", [gc("ref.content.0")]: b });
  const kept = await putBlob(client, "referred by a root", { kept: "x" });
  await putBlob(client, "a root", { kept: "x", [gc("root")]: "x", [gc("ref.content.0")]: kept });
  const flat = await client.createLease({ id: "flat", labels: { [gc("flat")]: "x" } });
  const beyond = await putBlob(client, "beyond a flat lease", { garbage: "x" });
  await putBlob(flat.client, "in a flat lease", { kept: "x", [gc("ref.content.0")]: beyond });
  const held = await client.createLease({ id: "held" });
  await putBlob(held.client, "in a lease", { kept: "x" });
  const expired = await client.createLease({ id: "expired", expiresInMs: 0, labels: { [gc("expire")]: past } });
  await putBlob(expired.client, "in an expired lease", { garbage: "x" });
  await leaveIngest(expired.client, "left under an expired lease", "half");
  await leaveIngest(client, "left without a lease", "half");
  await putSnapshot(client, "base");
  await putSnapshot(client, "top", "base");
  await putSnapshot(client, "kept-base");
  await putSnapshot(client, "kept-top", "kept-base", { [gc("root")]: "x" });
  // What only newer daemons know.
  await putBlob(client, "kept by its parent", { [gc("bref.image")]: image });
  const target = { ...(await client.getImage(image)).record.target, annotations: new Map<string, string>() };
  await client.createImage("expired:1", target as never, { labels: { [gc("expire")]: past } });
  const other = client.inNamespace(daemon.otherNamespace("gc"));
  await putBlob(other, "garbage of another namespace");
  await putBlob(other, "garbage");
}
