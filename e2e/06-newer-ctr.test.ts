/** Shows 6: a ctr of the 2.x line against the daemon. */
import { afterAll, beforeAll, expect } from "vitest";
import { busyboxImage, layeredImage, pushImage, writeOciArchive } from "@ctrd/testkit/fixtures";
import { run, runOk, type CommandResult } from "./support/command.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { ctr2, peerTest } from "./support/peers.ts";

let h: Harness;
beforeAll(async () => (h = await openHarness("newer")));
afterAll(() => h?.close());

const newer = (...args: string[]): Promise<string> => runOk(ctr2, [...h.daemon.flags(), ...args], env());
const tryNewer = (...args: string[]): Promise<CommandResult> => run(ctr2, [...h.daemon.flags(), ...args], env());
const env = (): { env: Record<string, string> } => ({ env: { TMPDIR: h.daemon.tmp } });

peerTest("6: ctr 2.x: version", [ctr2], async () => {
  expect(await newer("version")).toMatch(/Client:\n {2}Version: +v?2\.[^]*Server:\n {2}Version: +\S/);
});

peerTest("6: ctr 2.x: images pull --local, ls, rm", [ctr2], async () => {
  const ref = await pushImage(h.registry, "e2e/newer", "1", await layeredImage(5));
  await newer("images", "pull", "--local", "--plain-http", ref);
  expect(await newer("images", "ls", "-q")).toContain(ref);
  expect(await newer("images", "check", `name==${ref}`)).toMatch(/complete \(6\/6\)/);
  expect(await newer("snapshots", "ls")).toContain("Committed");
  await newer("images", "rm", "--sync", ref);
  expect(await newer("images", "ls", "-q")).not.toContain(ref);
});

peerTest("6: ctr 2.x: run, exit code, exec, kill, delete", [ctr2], async () => {
  expect(await newer("run", "--rm", h.image, h.daemon.id("new"), "echo", "from the newer one")).toBe(
    "from the newer one\n",
  );
  expect((await tryNewer("run", "--rm", h.image, h.daemon.id("code"), "sh", "-c", "exit 42")).code).toBe(42);
  const id = h.daemon.id("long");
  await newer("run", "-d", h.image, id, "sleep", "1000");
  expect(await newer("tasks", "exec", "--exec-id", "e", id, "echo", "hi")).toBe("hi\n");
  expect(await newer("tasks", "ls")).toMatch(new RegExp(`${id} +\\d+ +RUNNING`));
  expect(await newer("tasks", "metrics", id)).toContain("pids.current");
  await newer("tasks", "kill", "-s", "KILL", id);
  await newer("tasks", "rm", "-f", id);
  await newer("containers", "rm", id);
  expect(await newer("containers", "ls", "-q")).toBe("");
});

peerTest("6: ctr 2.x: pull, tag and push through the Transfer service", [ctr2], async () => {
  const image = await layeredImage(5);
  const ref = await pushImage(h.registry, "e2e/transfer", "1", image);
  const pulled = await newer("images", "pull", "--plain-http", ref);
  expect(pulled).toContain(`Completed pull from OCI Registry (${ref})`);
  expect(pulled).toContain("extracted");
  expect(await newer("images", "check", `name==${ref}`)).toMatch(/complete \(6\/6\).* true/);
  expect(await newer("leases", "ls", "-q")).toBe("");
  await newer("images", "tag", ref, "example.com/renamed:1");
  expect(await newer("images", "ls", "-q")).toContain("example.com/renamed:1");
  const target = `${h.registry.host}/e2e/transferred:2`;
  expect(await newer("images", "push", "--plain-http", target, ref)).toContain("Completed push to OCI Registry");
  const manifest = await fetch(`${h.registry.url}/v2/e2e/transferred/manifests/2`, {
    headers: { accept: "application/vnd.oci.image.manifest.v1+json" },
  });
  expect(manifest.headers.get("docker-content-digest")).toBe(image.root.descriptor.digest);
  const missing = await tryNewer("images", "pull", "--plain-http", `${h.registry.host}/e2e/none:1`);
  expect(missing.code).not.toBe(0);
  expect(missing.stderr).toContain("HTTP status 404");
  await newer("images", "rm", "--sync", ref, "example.com/renamed:1");
});

peerTest("6: ctr 2.x: import and export through the Transfer service", [ctr2], async () => {
  const image = await busyboxImage();
  const name = "example.com/imported:1";
  const [archive, exported] = [h.path("in.tar"), h.path("out.tar")];
  await writeOciArchive(archive, [{ image, refName: "1", containerdName: name }]);
  expect(await newer("images", "import", archive)).toContain("saved");
  await newer("images", "export", exported, name);
  expect(await runOk("skopeo", ["inspect", "--raw", `oci-archive:${exported}`])).toContain(
    image.layers[0]?.descriptor.digest,
  );
  await newer("images", "rm", "--sync", name);
  await runOk("gzip", [exported]);
  await newer("images", "import", `${exported}.gz`);
  expect(await newer("run", "--rm", name, h.daemon.id("imported"), "echo", "there and back")).toBe("there and back\n");
  const other = h.path("other.tar");
  await runOk("tar", ["-C", "/etc", "-cf", other, "hostname"]);
  const refused = await tryNewer("images", "import", other);
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toContain("unrecognized image format");
  await newer("images", "rm", "--sync", name);
  expect(await newer("leases", "ls", "-q")).toBe("");
});
