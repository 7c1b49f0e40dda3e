/** Shows 7 of issue 4: what image bytes must not do, with real peers. Names begin with ids of docs/security.md. */
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { connect, fromDaemon, nullIo } from "@ctrd/client";
import type { Client } from "@ctrd/client";
import { withImageConfig } from "@ctrd/oci";
import { createRegistryResolver, registryHosts } from "@ctrd/registry";
import { builtins, startDaemon } from "@ctrd/server";
import { buildImage, busyboxImage, pushImage, startCtrd, writeOciLayout } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run, runOk, type CommandResult } from "./support/command.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { ctdDecoder, ctr2, peerTest } from "./support/peers.ts";

let h: Harness;
/** Directories of verifiers and of keys, which the daemon's configuration names. */
let own: string;
let client: Client;

beforeAll(async () => {
  own = await mkdtemp("/tmp/ctrd-e2e-security-");
  for (const name of ["verifiers", "keys"]) await mkdir(join(own, name));
  const layer = "application/vnd.oci.image.layer.v1.tar+gzip";
  h = await openHarness("security", {
    config: `
[plugins."io.containerd.image-verifier.v1.bindir"]
  bin_dir = "${own}/verifiers"
  per_verifier_timeout = "1s"
[stream_processors."io.containerd.ocicrypt.decoder.v1.tar.gzip"]
  accepts = ["${layer}+encrypted"]
  returns = "${layer}"
  path = "${ctdDecoder}"
  args = ["--decryption-keys-path", "${own}/keys"]
`,
  });
  client = await connect(h.daemon.address, {
    namespace: h.daemon.namespace,
    resolver: createRegistryResolver({ hosts: registryHosts({ defaultScheme: "http" }) }),
    fifoDirectory: h.path("fifo"),
  });
});
afterAll(async () => {
  client?.close();
  await h?.close();
  if (own !== undefined) await rm(own, { recursive: true });
});

const env = (): { env: Record<string, string> } => ({ env: { TMPDIR: h.daemon.tmp } });
const newer = (...args: string[]): Promise<string> => runOk(ctr2, [...h.daemon.flags(), ...args], env());
const tryNewer = (...args: string[]): Promise<CommandResult> => run(ctr2, [...h.daemon.flags(), ...args], env());
let images = 0;
const image = () => buildImage({ layers: [{ entries: [{ path: "e2e", data: `security ${images++}` }] }] });

describe("image verifiers", () => {
  const verifier = async (name: string, body: string): Promise<void> => {
    await writeFile(join(own, "verifiers", name), `#!/bin/sh\n${body}\n`);
    await chmod(join(own, "verifiers", name), 0o755);
  };
  const pull = (reference: string): Promise<CommandResult> => tryNewer("images", "pull", "--plain-http", reference);

  /** The pull fails with words, and nothing of the image is there. */
  async function expectRefused(words: RegExp): Promise<void> {
    const built = await image();
    const reference = await pushImage(h.registry, `e2e/refused${images}`, "1", built);
    const { code, stderr } = await pull(reference);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(words);
    const there = await newer("content", "ls", "-q");
    for (const { descriptor } of [built.root, ...built.blobs]) expect(there).not.toContain(descriptor.digest);
    expect(await newer("images", "ls", "-q")).not.toContain(reference);
  }

  peerTest("7: are asked by name before a pull, and accept it", [ctr2], async () => {
    await verifier("1", `printf '%s\\n' "$@" > ${own}/arguments; cat > ${own}/descriptor; echo signed`);
    const built = await image();
    const reference = await pushImage(h.registry, "e2e/accepted", "1", built);
    await newer("images", "pull", "--plain-http", reference);
    const { digest, size, mediaType } = built.root.descriptor;
    const read = (name: string): Promise<string> => runOk("cat", [join(own, name)]);
    const given = `-name\n${reference}\n-digest\n${digest}\n`;
    expect(await read("arguments")).toBe(`${given}-stdin-media-type\napplication/vnd.oci.descriptor.v1+json\n`);
    expect(JSON.parse(await read("descriptor"))).toEqual({ mediaType, digest, size });
    await newer("images", "rm", "--sync", reference);
  });

  peerTest("7: the first that refuses fails it with its reason; nothing is fetched", [ctr2], async () => {
    await verifier("1", "exit 0");
    await verifier("2", "echo nobody has signed it; exit 1");
    await verifier("3", `touch ${own}/asked`);
    await expectRefused(/image verifier "bindir" refuses .*: 2 \(exit code 1\): nobody has signed it/);
    expect(await readdir(own)).not.toContain("asked");
  });

  peerTest("7: one that hangs, or cannot be run, fails it as well", [ctr2], async () => {
    await verifier("2", "sleep 1000");
    await expectRefused(/verifiers\/2 .*no answer within 1000 ms/);
    await verifier("2", "exit 0");
    await chmod(join(own, "verifiers", "2"), 0o600);
    await expectRefused(/verifiers\/2 .*EACCES/);
  });

  test("7: are asked as well when a client in the daemon's process pulls, as CRI does; a client may have its own", async () => {
    await verifier("1", "echo not here; exit 1");
    const reference = await pushImage(h.registry, "e2e/embedded", "1", await image());
    const path = h.path("embedded");
    const plugins = {
      "io.containerd.server.v1.grpc": { address: `${path}/d.sock` },
      "io.containerd.image-verifier.v1.bindir": { bin_dir: join(own, "verifiers") },
    };
    const daemon = await startDaemon({
      plugins: builtins,
      config: { root: `${path}/root`, state: `${path}/state`, plugins },
    });
    try {
      const resolver = createRegistryResolver({ hosts: registryHosts({ defaultScheme: "http" }) });
      const refused = { kind: "permission-denied", message: expect.stringContaining("1 (exit code 1): not here") };
      await using inside = fromDaemon(daemon, { namespace: h.daemon.namespace, resolver });
      await expect(inside.pull(reference)).rejects.toMatchObject(refused);
      expect((await inside.pull(reference, { verifiers: new Map() })).name).toBe(reference);
    } finally {
      await daemon.stop();
    }
    const mine = { verifyImage: async () => ({ ok: false, reason: "I do not want it" }) };
    await expect(client.pull(reference, { verifiers: new Map([["mine", mine]]) })).rejects.toMatchObject({
      kind: "permission-denied",
      message: expect.stringMatching(/"mine" refuses .* I do not want it/),
    });
    for (const name of await readdir(join(own, "verifiers"))) await rm(join(own, "verifiers", name));
  });
});

peerTest(
  "CVE-2022-24778: an encrypted image is refused when the key is gone, though it is unpacked",
  [ctr2, ctdDecoder, "skopeo", "openssl"],
  async () => {
    const key = join(own, "keys", "private.pem");
    await runOk("sh", [
      "-ec",
      `openssl genrsa -out ${key} 2048 2>/dev/null; openssl rsa -in ${key} -pubout -out ${own}/public.pem 2>/dev/null`,
    ]);
    const entries = [{ path: "secret", data: "for the eyes of the key's owner" }];
    await writeOciLayout(join(own, "plain"), [{ refName: "1", image: await busyboxImage({ layers: [{ entries }] }) }]);
    const reference = `${h.registry.host}/e2e/encrypted:1`;
    const copy = ["copy", "--dest-tls-verify=false", "--encryption-key", `jwe:${own}/public.pem`];
    await runOk("skopeo", [...copy, `oci:${own}/plain:1`, `docker://${reference}`]);

    const pulled = await client.pull(reference);
    expect((await pulled.manifest()).layers.map(({ mediaType }) => mediaType)).toEqual(
      Array(2).fill("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"),
    );
    const start = async (): Promise<number> => {
      const options = { image: pulled, specOptions: [withImageConfig({ args: ["grep", "-q", "eyes", "/secret"] })] };
      await using container = await client.newContainer(h.daemon.id("encrypted"), options);
      await using task = await container.newTask({ io: nullIo });
      await task.start();
      return (await task.wait()).exitCode;
    };
    expect(await start()).toBe(0);
    await rm(key);
    const refused = {
      kind: "failed-precondition",
      message: expect.stringMatching(/stream processor "io.containerd.ocicrypt.decoder.v1.tar.gzip".*failed/),
    };
    await expect(start()).rejects.toMatchObject(refused);
    await expect(client.pull(reference)).rejects.toMatchObject(refused);
    await expect(pulled.unpack({ snapshotter: "native" })).rejects.toMatchObject(refused);
    const byDaemon = await tryNewer("images", "pull", "--plain-http", reference);
    expect(byDaemon.code).not.toBe(0);
    expect(byDaemon.stderr).toMatch(/stream processor .* failed/);
    // What a refusal begins it removes again.
    expect(await newer("snapshots", "ls")).not.toContain("extract-");
    await pulled.delete({ sync: true });
  },
);

test("CVE-2021-41103, CVE-2024-25621: no directory of the daemon is open to others, old looser ones are closed", async () => {
  await using container = await client.newContainer(h.daemon.id("modes"), {
    image: h.image,
    specOptions: [withImageConfig({ args: ["sleep", "1000"] })],
  });
  await using task = await container.newTask({ io: nullIo });
  await task.start();
  const roots = (): string[] => [h.daemon.root, h.daemon.state];
  expect(roots().flatMap(openToOthers)).toEqual([]);
  const tops = roots().flatMap((root) => [root, ...readdirSync(root).map((name) => join(root, name))]);
  const directories = tops.filter((path) => lstatSync(path).isDirectory());
  expect(directories.length).toBeGreaterThan(8);
  await h.daemon.stop();
  for (const path of directories) await chmod(path, 0o755);
  await h.daemon.restart();
  expect(roots().flatMap(openToOthers)).toEqual([]);
});

test("JS-rejection: a promise that fails and that nobody awaits is logged, and the daemon lives", async () => {
  // Once the daemon's own handlers are there: they are what is tested.
  const script = `import { isMainThread } from "node:worker_threads";
    const fail = () => {
      if (process.listenerCount("unhandledRejection") === 0) return setTimeout(fail, 50);
      void Promise.reject(new Error("nobody awaits this"));
    };
    if (isMainThread) fail();`;
  const nodeArgs = ["--import", `data:text/javascript,${encodeURIComponent(script)}`];
  await using daemon = await startCtrd({ nodeArgs });
  await expect.poll(() => daemon.logs(), { timeout: 20_000 }).toMatch(/unhandled rejection/);
  expect(daemon.logs()).toContain("nobody awaits this");
  expect(await daemon.ctr(["version"])).toMatchObject({ exitCode: 0 });
});

/** Directories that others may list or write to; those inside images are what the image says. */
function openToOthers(directory: string): string[] {
  const mode = lstatSync(directory).mode & 0o777;
  const found = (mode & 0o066) === 0 ? [] : [`${directory} ${mode.toString(8)}`];
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory() && !["fs", "work", "rootfs"].includes(entry.name)) {
      found.push(...openToOthers(join(directory, entry.name)));
    }
  }
  return found;
}
