/** Details of the protocol that no real plugin shows: a script answers as each test says. */
import { mkdir, writeFile } from "node:fs/promises";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TempDir } from "@ctrd/testkit/fixtures";
import { tempDir } from "@ctrd/testkit/fixtures";
import type { CniOptions } from "./cni.ts";
import { Cni } from "./cni.ts";
import type { NetworkConfig } from "./config.ts";
import { parseNetworkConfig } from "./config.ts";

let dir: TempDir;
beforeEach(async () => {
  dir = await tempDir("cni-");
});
afterEach(() => dir[Symbol.asyncDispose]());

const attachment = { containerId: "box", netns: "/run/netns/none", ifName: "eth0" };
const open = (options: Partial<CniOptions> = {}): Cni =>
  new Cni({ pluginDirectories: [dir.path], cacheDirectory: join(dir.path, "cache"), ...options });
/** Makes a plugin that keeps what it is given in `<name>.<command>` and does what `body` says. */
async function plugin(name: string, body: string): Promise<void> {
  const keep = `cat > ${dir.path}/${name}.$CNI_COMMAND; env > ${dir.path}/${name}.env`;
  await writeFile(join(dir.path, name), `#!/bin/sh\n${keep}\n${body}\n`, { mode: 0o755 });
}
const answer = (value: unknown): string => `cat <<'END'\n${JSON.stringify(value)}\nEND\n`;
const network = (value: object): NetworkConfig => parseNetworkConfig(JSON.stringify({ name: "n", ...value }), "n.conf");
const received = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(dir.path, name), "utf8")) as Record<string, unknown>;

describe("what plugins are given", () => {
  it("only the capability arguments that they declare, and the result before theirs", async () => {
    await plugin("first", answer({ cniVersion: "1.0.0", interfaces: [{ name: "eth0", sandbox: "/x" }], ips: [] }));
    await plugin("second", answer({ cniVersion: "1.0.0", ips: [{ address: "10.0.0.2/8" }] }));
    const config = network({
      cniVersion: "1.0.0",
      plugins: [
        { type: "first", capabilities: { portMappings: true, dns: false }, own: 1 },
        { type: "second", capabilities: { "io.kubernetes.cri.pod-annotations": true, aliases: true } },
      ],
    });
    const capabilities = {
      portMappings: [{ hostPort: 1, containerPort: 2, protocol: "tcp" as const }],
      dns: { servers: ["1.1.1.1"] },
      aliases: ["a"],
      "io.kubernetes.cri.pod-annotations": { k: "v" },
    };
    const args = { IgnoreUnknown: "1", K8S_POD_NAME: "p" };
    const result = await open().add(config, { ...attachment, args, capabilities });
    expect(result.ips).toEqual([{ address: "10.0.0.2/8" }]);
    expect(received("first.ADD")).toEqual({
      name: "n",
      cniVersion: "1.0.0",
      type: "first",
      own: 1,
      capabilities: { portMappings: true, dns: false },
      runtimeConfig: { portMappings: capabilities.portMappings },
    });
    expect(received("second.ADD")).toMatchObject({
      runtimeConfig: { aliases: ["a"], "io.kubernetes.cri.pod-annotations": { k: "v" } },
      prevResult: { cniVersion: "1.0.0", interfaces: [{ name: "eth0", sandbox: "/x" }] },
    });
    const env = readFileSync(join(dir.path, "second.env"), "utf8");
    expect(env).toContain("CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAME=p\n");
    expect(env).toContain(`CNI_PATH=${dir.path}\n`);
    expect(env.split("\n").filter((line) => /^(HOME|VITEST|npm_)/.test(line))).toEqual([]);
    await open().del(config, attachment);
    expect(received("second.DEL")).toMatchObject({
      runtimeConfig: { aliases: ["a"] },
      prevResult: { ips: [{ address: "10.0.0.2/8" }] },
    });
  });

  it("results in the version of the configuration", async () => {
    const ips = [{ address: "fd00::2/64", gateway: "fd00::1", interface: 0 }];
    const routes = [{ dst: "::/0", gw: "fd00::1", mtu: 1400, priority: 5 }];
    const interfaces = [{ name: "eth0", sandbox: "/x", mtu: 1500, pciID: "00:1" }];
    await plugin("new", answer({ cniVersion: "1.1.0", interfaces, ips, routes }));
    await plugin("next", "cat $0.ADD | sed 's/.*\"prevResult\"://; s/}$//'");
    const between = async (cniVersion: string): Promise<unknown> => {
      await open().add(network({ cniVersion, plugins: [{ type: "new" }, { type: "next" }] }), attachment);
      return received("next.ADD")["prevResult"];
    };
    expect(await between("1.1.0")).toMatchObject({ cniVersion: "1.1.0", interfaces, ips, routes });
    expect(await between("1.0.0")).toMatchObject({
      interfaces: [{ name: "eth0", sandbox: "/x" }],
      ips,
      routes: [{ dst: "::/0", gw: "fd00::1" }],
    });
    expect(await between("0.4.0")).toMatchObject({ cniVersion: "0.4.0", ips: [{ version: "6", ...ips[0] }] });
    const all = { cniVersion: "0.9.0", cniVersions: ["0.4.0", "1.1.0", "9.0.0"], plugins: [{ type: "new" }] };
    expect(network(all).cniVersion).toBe("1.1.0");
  });

  it("STATUS and GC from 1.1.0 on", async () => {
    await plugin("new", "");
    const old = network({ cniVersion: "1.0.0", type: "new" });
    await open().status(old);
    await open().gc(old, []);
    expect(existsSync(join(dir.path, "new.STATUS"))).toBe(false);
    const config = network({ cniVersion: "1.1.0", type: "new" });
    await open().status(config);
    await open().gc(config, [{ containerId: "a", ifName: "eth0" }]);
    expect(received("new.GC")).toMatchObject({
      "cni.dev/valid-attachments": [{ containerID: "a", ifname: "eth0" }],
    });
    await plugin("new", `${answer({ code: 50, msg: "no uplink", details: "eth9 is down" })}exit 1`);
    await expect(open().status(config)).rejects.toMatchObject({
      kind: "unavailable",
      code: 50,
      message: expect.stringMatching(/network "n": plugin "new": STATUS: no uplink: eth9 is down \(/),
    });
  });
});

describe("what plugins do wrong", () => {
  const config = network({ cniVersion: "1.0.0", type: "bad" });

  it.each([
    ["an error", `${answer({ code: 7, msg: "bad subnet" })}exit 1`, "invalid-argument", /bad subnet \(mend/],
    ["one of its own", `${answer({ code: 105, msg: "odd" })}exit 1`, "unknown", /"bad": ADD: odd$/],
    ["no answer", "echo panic >&2; exit 2", "unknown", /exit code 2, no answer: panic/],
    ["a signal", "kill -9 $$", "unknown", /ended by SIGKILL, no answer/],
    ["no result", "", "failed-precondition", /it wrote no result/],
    ["no JSON", "echo hello", "failed-precondition", /not valid JSON.*hello/],
    ["a bad address", answer({ ips: [{ address: "10.0.0.2" }] }), "failed-precondition", /ips\[0\]\.address/],
    ["a bad index", answer({ ips: [{ address: "::1/64", interface: 3 }] }), "failed-precondition", /of 0 interfaces/],
    ["endless output", "exec yes", "failed-precondition", /wrote more than/],
  ])("%s", async (_name, body, kind, message) => {
    await plugin("bad", body);
    await expect(open().add(config, attachment)).rejects.toMatchObject({
      kind,
      message: expect.stringMatching(message),
    });
  });

  it("hanging: it is killed with what it has started", async () => {
    await plugin("bad", `sleep 1000 & echo $! > ${dir.path}/child; wait`);
    const started = open({ timeoutMs: 500 }).add(config, attachment);
    await expect(started).rejects.toMatchObject({
      kind: "deadline-exceeded",
      message: expect.stringContaining(`network "n": plugin "bad": ADD: not done after 500 ms, killed`),
    });
    await expect
      .poll(() => existsSync(`/proc/${readFileSync(join(dir.path, "child"), "utf8").trim()}/exe`))
      .toBe(false);
  });

  it("hanging: an aborted call kills it", async () => {
    await plugin("bad", "exec sleep 1000");
    const controller = new AbortController();
    const adding = open().add(config, { ...attachment, signal: controller.signal });
    adding.catch(() => {});
    await expect.poll(() => existsSync(join(dir.path, "bad.env")), { timeout: 10_000 }).toBe(true);
    controller.abort();
    await expect(adding).rejects.toMatchObject({ kind: "canceled" });
    await expect(open().add(config, { ...attachment, signal: controller.signal })).rejects.toMatchObject({
      kind: "canceled",
    });
  });

  it("not executable, a directory: it is not there", async () => {
    await writeFile(join(dir.path, "bad"), "x", { mode: 0o644 });
    await mkdir(join(dir.path, "worse"));
    for (const type of ["bad", "worse"]) {
      const other = network({ cniVersion: "1.0.0", type });
      await expect(open().add(other, attachment)).rejects.toMatchObject({ kind: "not-found" });
    }
  });

  it("arguments, ids and names that would end up elsewhere are refused", async () => {
    await plugin("bad", "");
    for (const wrong of [
      { args: { A: "1;B=2" } },
      { containerId: "../x" },
      { ifName: "a/b" },
      { ifName: "x".repeat(16) },
    ]) {
      await expect(open().add(config, { ...attachment, ...wrong })).rejects.toMatchObject({ kind: "invalid-argument" });
    }
    expect(existsSync(join(dir.path, "bad.ADD"))).toBe(false);
  });
});
