/** Show 3: the daemon pulls and pushes for a ctr of the 2.x line, over TLS, with users, mirrors and faults. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import type { FaultProxy, TestRegistry } from "@ctrd/testkit/fixtures";
import { buildImage, htpasswdLine, freePort, pushImage, startFaultProxy, startRegistry } from "@ctrd/testkit/fixtures";
import { run, runOk, type CommandResult } from "./support/command.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { ctr2, peerTest } from "./support/peers.ts";

let h: Harness;
let proxy: FaultProxy;
/** TLS with client certificates, and users; the content is that of the harness's registry. */
let guarded: TestRegistry;
let files: string;

beforeAll(async () => {
  h = await openHarness("registry", { pull: false });
  files = h.path("certificates");
  await mkdir(files);
  const sh = (script: string): Promise<string> => runOk("sh", ["-ec", script], { cwd: files });
  await sh(
    "openssl req -x509 -new -nodes -newkey rsa:2048 -days 2 -subj /CN=ca -keyout ca.key -out ca.crt 2>/dev/null",
  );
  await writeFile(join(files, "san"), "subjectAltName=IP:127.0.0.1\n");
  for (const name of ["server", "client"]) {
    await sh(`openssl req -new -nodes -newkey rsa:2048 -subj /CN=${name} -keyout ${name}.key -out ${name}.csr 2>/dev/null
      openssl x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile san -in ${name}.csr -out ${name}.crt 2>/dev/null`);
  }
  await writeFile(join(files, "htpasswd"), htpasswdLine);
  const [cert, key, clientCa] = ["server.crt", "server.key", "ca.crt"].map((name) => join(files, name)) as [
    string,
    string,
    string,
  ];
  guarded = await startRegistry({
    dir: h.path("guarded"),
    tls: { cert, key, clientCa },
    auth: { htpasswd: { realm: "test", path: join(files, "htpasswd") } },
  });
  proxy = await startFaultProxy(h.registry.host);
});
afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]();
  await guarded?.[Symbol.asyncDispose]();
  await h?.close();
});

const env = (): { env: Record<string, string> } => ({ env: { TMPDIR: h.daemon.tmp } });
const newer = (...args: string[]): Promise<string> => runOk(ctr2, [...h.daemon.flags(), ...args], env());
const tryNewer = (...args: string[]): Promise<CommandResult> => run(ctr2, [...h.daemon.flags(), ...args], env());
let images = 0;
const image = () => buildImage({ layers: [{ entries: [{ path: "e2e", data: `registry ${images++}` }] }] });
async function hostsDirectory(host: string, toml: string): Promise<string> {
  const directory = h.path(`hosts-${images++}`);
  await mkdir(join(directory, host), { recursive: true });
  await writeFile(join(directory, host, "hosts.toml"), toml);
  return directory;
}

peerTest(
  "16: TLS with client certificates and users: push, pull, and one clear error without",
  [ctr2, "openssl"],
  async () => {
    const source = await pushImage(h.registry, "e2e/source", "1", await image());
    await newer("images", "pull", "--plain-http", source);
    const target = `${guarded.host}/e2e/guarded:1`;
    const client = `client = [["${files}/client.crt", "${files}/client.key"]]`;
    const hosts = await hostsDirectory(guarded.host, `server = "${guarded.url}"\nca = "${files}/ca.crt"\n${client}\n`);
    const access = ["--hosts-dir", hosts, "--user", "user:s3cret"];
    await newer("images", "push", ...access, target, source);
    await newer("images", "rm", "--sync", source);
    expect(await newer("images", "pull", ...access, target)).toContain("Completed pull");
    const refused = await tryNewer("images", "pull", "--hosts-dir", hosts, "--user", "user:other-secret", target);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain("refused user and password");
    const unknown = await hostsDirectory(guarded.host, `server = "${guarded.url}"\n${client}\n`);
    const distrusted = await tryNewer("images", "pull", "--hosts-dir", unknown, "--user", "user:s3cret", target);
    expect(distrusted.stderr).toMatch(/certificate/);
    expect(h.daemon.logs()).not.toMatch(/s3cret|other-secret|dXNlcjp/);
    await newer("images", "rm", "--sync", target);
  },
);

peerTest("16: mirrors: a dead one, one without the image, and one that breaks off", [ctr2], async () => {
  const built = await image();
  const reference = await pushImage(h.registry, "e2e/mirrored", "1", built);
  const dead = `127.0.0.1:${await freePort()}`;
  const toml = `server = "${h.registry.url}"
    [host."http://${dead}"]
    [host."${proxy.url}/none"]
    [host."${proxy.url}"]\n`;
  const hosts = await hostsDirectory("mirrored.test", toml);
  proxy.onRequest(({ url }, count) => {
    if (url.startsWith("/none/")) return { status: 404 };
    return url.includes("/blobs/") && count === 0 ? { resetAfter: 20 } : undefined;
  });
  const name = reference.replace(h.registry.host, "mirrored.test");
  await newer("images", "pull", "--hosts-dir", hosts, name);
  expect(await newer("images", "check", `name==${name}`)).toMatch(/complete \(2\/2\)/);
  expect(proxy.requests.some(({ url }) => url.includes("ns=mirrored.test"))).toBe(true);
  await newer("images", "rm", "--sync", name);
});

peerTest("16: a ctr that is killed in the middle of a pull: the daemon stops within a second", [ctr2], async () => {
  const built = await image();
  const name = (await pushImage(h.registry, "e2e/killed", "1", built)).replace(h.registry.host, proxy.host);
  const layer = built.layers[0]?.descriptor.digest ?? "";
  proxy.onRequest(({ url }) => (url.includes(layer) ? { stallAfter: 10 } : undefined));
  const child = spawn(ctr2, [...h.daemon.flags(), "images", "pull", "--plain-http", name], {
    env: { ...process.env, TMPDIR: h.daemon.tmp },
    stdio: "ignore",
  });
  await expect.poll(() => newer("content", "active"), { timeout: 5_000 }).toContain("layer-");
  child.kill("SIGKILL");
  await once(child, "exit");
  proxy.onRequest(() => undefined);
  // Until the daemon leaves the stalled registry, the ingest of the layer is locked.
  const began = performance.now();
  await newer("images", "pull", "--plain-http", name);
  expect(performance.now() - began).toBeLessThan(2_000);
  await newer("images", "rm", "--sync", name);
  // ctr's own, which it could not remove any more.
  for (const lease of (await newer("leases", "ls", "-q")).split("\n"))
    if (lease !== "") await newer("leases", "rm", lease);
});
