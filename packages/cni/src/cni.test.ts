import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { TempDir } from "@ctrd/testkit/fixtures";
import { tempDir } from "@ctrd/testkit/fixtures";
import type { AttachRequest } from "./attach.ts";
import { attachNetworks, detachNetworks } from "./attach.ts";
import type { CapabilityArgs } from "./capabilities.ts";
import { Cni } from "./cni.ts";
import type { NetworkConfig } from "./config.ts";
import { parseNetworkConfig } from "./config.ts";
import { NetworkNamespace } from "./netns/network-namespace.ts";
import { command, enterOwnNetwork, pluginDirectory, shell } from "./testing/own-network.ts";

let dir: TempDir;
let cni: Cni;
let netns: NetworkNamespace;
beforeAll(() => enterOwnNetwork());
beforeEach(async () => {
  dir = await tempDir("cni-");
  cni = new Cni({ pluginDirectories: [pluginDirectory], cacheDirectory: dir.path });
  netns = await NetworkNamespace.create(join(dir.path, "netns"));
});
afterEach(async () => {
  await netns.remove();
  // The bridge stays by design; and without a namespace the plugin knows no addresses to take its rules away for.
  shell("ip link del test0 2>/dev/null; for t in iptables ip6tables; do $t -t nat -F; $t -t nat -X; done");
  await dir[Symbol.asyncDispose]();
});

const network = (value: object): NetworkConfig => parseNetworkConfig(JSON.stringify(value), "test.conflist");
const ipam = (...subnets: string[]): object => ({
  type: "host-local",
  dataDir: join(dir.path, "leases"),
  ranges: subnets.map((subnet) => [{ subnet }]),
  routes: subnets.map((subnet) => ({ dst: subnet.includes(":") ? "::/0" : "0.0.0.0/0" })),
});
const bridged = (version: string, ...subnets: string[]): NetworkConfig =>
  network({
    cniVersion: version,
    name: "bridged",
    plugins: [
      {
        type: "bridge",
        bridge: "test0",
        isGateway: true,
        ipMasq: true,
        capabilities: { ips: true, mac: true },
        ipam: ipam(...subnets),
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  });
const request = (networks: readonly NetworkConfig[], id = "box"): AttachRequest => ({
  id,
  netns: netns.path,
  networks,
});
/** What the plugins have left: links, rules, leases, results. */
const left = (): string[] => [
  ...command("ip -o link")
    .split("\n")
    .filter((line) => /veth/.test(line)),
  ...["iptables", "ip6tables"].flatMap((program) =>
    command(`${program} -t nat -S`)
      .split("\n")
      .filter((line) => /CNI-(DN-)?[0-9a-f]{8}/.test(line)),
  ),
  ...[join(dir.path, "leases/bridged"), join(dir.path, "results")].flatMap((path) =>
    existsSync(path) ? readdirSync(path).filter((name) => !/^last_reserved|^lock$/.test(name)) : [],
  ),
];

describe("real plugins", () => {
  it.each(["0.3.1", "0.4.0", "1.0.0"])("bridge, host-local and portmap in version %s", async (version) => {
    const config = bridged(version, "10.231.0.0/24", "fd00:2310::/64");
    const portMappings = [{ hostPort: 18080, containerPort: 80, protocol: "tcp" } as const];
    const attached = await attachNetworks(cni, { ...request([config]), capabilities: { portMappings } });
    expect(attached).toMatchObject([
      {
        network: "bridged",
        name: "eth0",
        addresses: [
          { ip: "10.231.0.2", prefix: 24, gateway: "10.231.0.1" },
          { ip: "fd00:2310::2", prefix: 64, gateway: "fd00:2310::1" },
        ],
      },
    ]);
    expect(attached[0]?.mac).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
    expect(command("ip -o addr show eth0", netns.path)).toContain("10.231.0.2/24");
    expect(command("iptables -t nat -S")).toMatch(/--dport 18080 .*--to-destination 10.231.0.2:80/);
    // Nobody says again which ports there were.
    await detachNetworks(cni, request([config]));
    expect(left()).toEqual([]);
    await detachNetworks(cni, request([config]));
  });

  it("CHECK says what is not as it was", async () => {
    const config = bridged("1.0.0", "10.231.1.0/24");
    const attachment = { containerId: "box", netns: netns.path, ifName: "eth0" };
    await expect(cni.check(config, attachment)).rejects.toThrow(/was never attached/);
    await cni.add(config, attachment);
    await cni.check(config, attachment);
    command("ip link del eth0", netns.path);
    await expect(cni.check(config, attachment)).rejects.toMatchObject({
      name: "CniPluginError",
      operation: "CHECK",
      plugin: "bridge",
      message: expect.stringContaining("eth0"),
    });
    await expect(cni.check(bridged("0.3.1", "10.231.1.0/24"), attachment)).rejects.toThrow(/0.3.1 has no CHECK/);
    await cni.del(config, attachment);
  });

  it("two networks, two families, an address and a MAC that were asked for", async () => {
    const first = bridged("1.0.0", "10.231.2.0/24", "fd00:231::/64");
    const second = network({ cniVersion: "1.0.0", name: "second", type: "ptp", ipam: ipam("10.231.3.0/24") });
    const capabilities = (_network: NetworkConfig, index: number): CapabilityArgs =>
      index === 0 ? { ips: ["10.231.2.77", "fd00:231::77"], mac: "02:00:00:00:00:07", unknown: 1 } : {};
    const attached = await attachNetworks(cni, { ...request([first, second]), capabilities });
    expect(attached.map(({ name, mac, addresses }) => [name, mac, addresses.map(({ ip }) => ip)])).toEqual([
      ["eth0", "02:00:00:00:00:07", ["10.231.2.77", "fd00:231::77"]],
      ["eth1", expect.any(String), ["10.231.3.2"]],
    ]);
    await detachNetworks(cni, request([first, second]));
    expect(left()).toEqual([]);
  });

  it("undoes all when the second network fails", async () => {
    const first = bridged("1.0.0", "10.231.4.0/24");
    const second = network({ cniVersion: "1.0.0", name: "second", type: "ptp", ipam: { type: "host-local" } });
    const error: unknown = await attachNetworks(cni, request([first, second])).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ operation: "ADD", network: "second", plugin: "ptp" });
    expect(String(error)).toContain(`network "second": plugin "ptp": ADD: `);
    expect(left()).toEqual([]);
    expect(command("ip -o link", netns.path)).not.toContain("eth0");
  });

  it("detaches after the namespace has gone, and with the configuration of the ADD", async () => {
    const config = bridged("1.0.0", "10.231.5.0/24");
    await attachNetworks(cni, request([config]));
    await netns.remove();
    const changed = network({ cniVersion: "1.0.0", name: "bridged", type: "none" });
    await detachNetworks(cni, { ...request([changed]), netns: "" });
    expect(readdirSync(join(dir.path, "results"))).toEqual([]);
    expect(readdirSync(join(dir.path, "leases/bridged"))).not.toContain("10.231.5.2");
  });

  it("collects what is not in use", async () => {
    const config = bridged("1.0.0", "10.231.6.0/24");
    await attachNetworks(cni, request([config], "stays"));
    await using other = await NetworkNamespace.create(join(dir.path, "netns"));
    await attachNetworks(cni, { ...request([config], "goes"), netns: other.path });
    await cni.gc(config, [{ containerId: "stays", ifName: "eth0" }]);
    expect(readdirSync(join(dir.path, "results"))).toEqual(["bridged-stays-eth0"]);
    await cni.gc(config, []);
    expect(left()).toEqual([]);
  });

  it("serves a container on its port", async () => {
    const config = bridged("1.0.0", "10.231.7.0/24");
    const portMappings = [{ hostPort: 18081, containerPort: 80, protocol: "tcp" } as const];
    await attachNetworks(cni, { ...request([config]), capabilities: { portMappings } });
    await writeFile(join(dir.path, "index.html"), "from inside");
    const server = spawn("nsenter", [`--net=${netns.path}`, "busybox", "httpd", "-f", "-p", "80", "-h", dir.path]);
    try {
      await expect.poll(() => page("127.0.0.1", 18081), { timeout: 10_000 }).toContain("from inside");
      expect(await page("10.231.7.1", 18081)).toContain("from inside");
    } finally {
      server.kill();
      await once(server, "exit");
    }
    await detachNetworks(cni, request([config]));
    expect(await page("127.0.0.1", 18081)).toMatch(/ECONNREFUSED/);
  });

  it("says which plugin is missing, and where it was looked for", async () => {
    const config = network({ cniVersion: "1.0.0", name: "n", type: "no-such-plugin" });
    const two = new Cni({ pluginDirectories: [dir.path, pluginDirectory], cacheDirectory: dir.path });
    await expect(two.add(config, { containerId: "box", netns: netns.path, ifName: "eth0" })).rejects.toMatchObject({
      kind: "not-found",
      message: expect.stringContaining(`plugin "no-such-plugin" is not in ${dir.path}, ${pluginDirectory} (install`),
    });
    await expect(two.status(config)).rejects.toMatchObject({ kind: "not-found" });
    await two.status(bridged("1.0.0", "10.231.8.0/24"));
  });

  it("refuses a damaged result with its path", async () => {
    const config = bridged("1.0.0", "10.231.9.0/24");
    await attachNetworks(cni, request([config]));
    const path = join(dir.path, "results/bridged-box-eth0");
    const text = readFileSync(path);
    await writeFile(path, "{");
    await expect(detachNetworks(cni, request([config]))).rejects.toThrow(path);
    await writeFile(path, text);
    await detachNetworks(cni, request([config]));
    await rm(path, { force: true });
    expect(left()).toEqual([]);
  });
});

async function page(host: string, port: number): Promise<string> {
  const socket = connect(port, host);
  let text = "";
  try {
    await once(socket, "connect");
    socket.end("GET /index.html HTTP/1.0\r\n\r\n");
    for await (const data of socket) text += String(data);
    return text;
  } catch (error) {
    return String(error);
  } finally {
    socket.destroy();
  }
}
