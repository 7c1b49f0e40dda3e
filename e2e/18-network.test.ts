/**
 * Issue 4, Shows 6: networks of containers. This process moves into a network namespace of its own before it starts
 * anything: daemon, registry, command line, bridges and rules are all in there, and end with it.
 */
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { CloneFlag, setInterfaceUp, unshare } from "@ctrd/sys";
import type { Cli } from "./support/cli.ts";
import { cliOf } from "./support/cli.ts";
import { runOk, until } from "./support/command.ts";
import type { Harness } from "./support/harness.ts";
import { openHarness } from "./support/harness.ts";
import { list } from "./support/machine-state.ts";
import { ctrdTest, requirePeers } from "./support/peers.ts";

const plugins = "/usr/lib/cni";

let h: Harness;
let cli: Cli;
beforeAll(async () => {
  requirePeers([`${plugins}/bridge`, `${plugins}/portmap`, "iptables", "ip"]);
  unshare(CloneFlag.NewNet);
  setInterfaceUp("lo");
  process.env["CTRD_CNI_BIN_DIR"] = plugins;
  h = await openHarness("network");
  process.env["CTRD_CNI_CONFIG_DIR"] = h.path("net.d");
  cli = cliOf(h, { CTRD_NETWORK: "" });
});
afterAll(() => h?.close());
afterEach(async () => {
  const left = (await ctrd("ps", "-aq")).split("\n").filter(Boolean);
  if (left.length > 0) await ctrd("rm", "-f", ...left);
  expect(await leftovers()).toEqual([]);
});

const ctrd = (...args: string[]): Promise<string> => cli.ctrd(...args);
const attempt: Cli["attempt"] = (args, options) => cli.attempt(args, options);

const pins = (): string[] => list("/run/netns").filter((path) => path.includes("/ctrd-"));

/** What containers have in this namespace and on disk: namespaces, links, rules, addresses, results. */
async function leftovers(): Promise<string[]> {
  const links = (await runOk("ip", ["-o", "link"])).split("\n").filter((line) => line.includes("veth"));
  const rules = (await runOk("iptables-save", []))
    .split("\n")
    .filter((line) => /id: \\?"|CNI-DN-|CNI-[0-9a-f]{24}/.test(line));
  const leases = list(h.path("cli/cni/networks")).flatMap((path) => list(path));
  return [
    ...pins(),
    ...links,
    ...rules,
    ...leases.filter((path) => !/\/(lock|last_reserved_ip\.\d+)$/.test(path)),
    ...list(h.path("cli/cni/results")),
  ];
}

/** Waits until no container has a network: its namespace is what goes last. */
async function noNetworks(): Promise<void> {
  await until("no container has a network", () => pins().length === 0);
  expect(await leftovers()).toEqual([]);
}

/** What a server says that is asked over TCP. */
async function ask(port: number, host = "127.0.0.1"): Promise<string> {
  const socket = connect(port, host);
  let text = "";
  try {
    await once(socket, "connect");
    socket.end("GET / HTTP/1.0\r\n\r\n");
    for await (const data of socket) text += String(data);
    return text;
  } catch (error) {
    return String(error);
  } finally {
    socket.destroy();
  }
}

const server = ["sh", "-c", "echo it is $(hostname) > /tmp/index.html; exec httpd -f -p 80 -h /tmp"];
const answers = (port: number, text: string, host?: string): Promise<true> =>
  until(`port ${port} answers "${text}"`, async () => (await ask(port, host)).includes(text) || undefined);

test("6: run -d -p: answered over the published port, also after a restart, and not after the end", async () => {
  const id = await cli.background("--name", "web", "-p", "8080:80", "-p", "127.0.0.1:8443:443", h.image, ...server);
  await answers(8080, `it is ${id.slice(0, 12)}`);
  expect(await ctrd("ps", "--format", "{{.Ports}}")).toBe("0.0.0.0:8080->80/tcp, 127.0.0.1:8443->443/tcp\n");
  const [facts] = JSON.parse(await ctrd("inspect", "web")) as [Facts];
  expect(facts.NetworkSettings).toMatchObject({
    Ports: { "80/tcp": [{ HostIp: "0.0.0.0", HostPort: "8080" }] },
    Networks: { bridge: { Interface: "eth0", IPAddress: expect.stringMatching(/^10\.4\.0\./), Gateway: "10.4.0.1" } },
  });
  await answers(80, "it is", facts.NetworkSettings.Networks["bridge"]?.IPAddress);
  await ctrd("stop", "-t", "0", "web");
  expect(await ask(8080)).toContain("ECONNREFUSED");
  expect(await leftovers()).toEqual([]);
  await ctrd("start", "web");
  await answers(8080, `it is ${id.slice(0, 12)}`);
  // Its process ends, and nobody deletes its task.
  await ctrd("kill", "web");
  await noNetworks();
  expect(await ctrd("ps", "-a", "--format", "{{.Names}}:{{.Ports}}")).toBe("web:\n");
  await ctrd("rm", "web");
  await cli.background("--rm", "-p", "8080:80", h.image, "sleep", "0.5");
  await noNetworks();
  await until("it is removed", async () => (await ctrd("ps", "-aq")) === "");
});

interface Facts {
  NetworkSettings: { Networks: Record<string, { IPAddress: string }>; Ports: Record<string, { HostPort: string }[]> };
}

async function addressOf(name: string, network = "bridge"): Promise<string> {
  const [facts] = JSON.parse(await ctrd("inspect", name)) as [Facts];
  return facts.NetworkSettings.Networks[network]?.IPAddress ?? "";
}

test("6: containers reach each other by name, and know hosts and name servers", async () => {
  await cli.background("--name", "one", "--network-alias", "uno", h.image, ...server);
  const seen = await ctrd(
    ...["run", "--rm", "--name", "two", "--hostname", "deux", "--add-host", "far:192.0.2.1"],
    ...["--dns", "192.0.2.53", "--dns-search", "example.org", h.image],
    ...["sh", "-c", "until wget -qO- http://uno; do sleep 0.1; done; cat /etc/hostname /etc/hosts /etc/resolv.conf"],
  );
  expect(seen).toMatch(/^it is [0-9a-f]{12}\ndeux\n/);
  expect(seen).toMatch(/^192.0.2.1\tfar$/m);
  expect(seen).toMatch(/^10\.4\.0\.\d+\tdeux two [0-9a-f]{12}$/m);
  expect(seen).toMatch(/^10\.4\.0\.\d+\t[0-9a-f]{12} one uno$/m);
  expect(seen).toContain("nameserver 192.0.2.53\nsearch example.org\n");
  const hosts = await ctrd("exec", "one", "cat", "/etc/hosts");
  expect(hosts).not.toContain("deux");
  expect(hosts).toContain(`${await addressOf("one")}\t`);
});

test("6: --net: none, host, container:, and addresses that are asked for", async () => {
  const interfaces = ["ip", "-o", "addr"];
  expect(await ctrd("run", "--rm", "--net", "none", h.image, ...interfaces)).not.toContain("eth0");
  expect(await ctrd("run", "--rm", "--net", "host", h.image, ...interfaces)).toContain("ctrd0");
  const asked = ["--ip", "10.4.0.77", "--mac-address", "02:00:00:00:00:4d"];
  await cli.background("--name", "base", ...asked, h.image, ...server);
  expect(await addressOf("base")).toBe("10.4.0.77");
  const other = await ctrd("run", "--rm", "--net", "container:base", h.image, "ip", "addr", "show", "eth0");
  expect(other).toContain("10.4.0.77/24");
  expect(other).toContain("02:00:00:00:00:4d");
  const clash = await attempt(["run", "--rm", "--net", "host", "-p", "80:80", h.image, "true"]);
  expect(clash).toMatchObject({ code: 125, stderr: expect.stringContaining("-p does not go with --net host") });
  const taken = await attempt(["run", "--rm", "--ip", "10.4.0.77", h.image, "true"]);
  expect(taken).toMatchObject({ code: 125, stderr: expect.stringContaining('plugin "bridge": ADD: ') });
  expect(taken.stderr).toContain("10.4.0.77");
});

test("6: network create, ls, inspect, rm, prune; several networks; bridges are apart", async () => {
  expect(await ctrd("network", "create", "back", "--label", "a=b")).toBe("back\n");
  await ctrd("network", "create", "six", "--subnet", "10.77.0.0/24", "--subnet", "fd00:77::/64", "--internal");
  expect(await ctrd("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Subnets}}")).toBe(
    "back bridge 10.4.1.0/24\nbridge bridge 10.4.0.0/24\nsix bridge 10.77.0.0/24, fd00:77::/64\nhost host \nnone null \n",
  );
  await cli.background("--name", "db", "--net", "back", h.image, ...server);
  await cli.background("--name", "app", "--net", "back", "--net", "six", h.image, "sleep", "1000");
  expect(await ctrd("exec", "app", "wget", "-qO-", "http://db")).toContain("it is");
  expect(await ctrd("exec", "app", "ip", "-o", "addr")).toMatch(/eth1 .*10\.77\.0\.2[^]*eth1 .*fd00:77::2/);
  const apart = ["run", "--rm", h.image, "nc", "-w", "2", await addressOf("db", "back"), "80"];
  expect((await attempt(apart)).code).toBe(1);
  const [facts] = JSON.parse(await ctrd("network", "inspect", "six")) as [{ Containers: Record<string, object> }];
  expect(Object.values(facts.Containers)).toMatchObject([
    { Name: "app", Addresses: ["10.77.0.2/24", "fd00:77::2/64"] },
  ]);
  expect(await attempt(["network", "rm", "six"])).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/network "six" is used by container "app"\n +remove that first: ctrd rm app/),
  });
  // On an interface of the machine; here that is the end of a pair.
  await runOk("ip", ["link", "add", "lan0", "type", "veth", "peer", "name", "lan1"]);
  const lan = ["--driver", "macvlan", "--opt", "parent=lan0", "--subnet", "192.0.2.0/24", "--gateway", "192.0.2.1"];
  await ctrd("network", "create", "lan", ...lan, "--ip-range", "192.0.2.64/28");
  expect(await ctrd("run", "--rm", "--net", "lan", h.image, "ip", "-o", "addr")).toContain("192.0.2.64/24");
  expect((await attempt(["run", "--rm", "--net", "lan", "-p", "80", h.image, "true"])).stderr).toContain("portmap");
  expect(await ctrd("network", "rm", "lan")).toBe("lan\n");
  await runOk("ip", ["link", "del", "lan0"]);
  expect((await attempt(["network", "create", "over", "--subnet", "10.77.0.128/25"])).stderr).toContain("overlaps");
  expect((await attempt(["network", "create", "back"])).stderr).toContain("is there already");
  await ctrd("rm", "-f", "app", "db");
  expect(await ctrd("network", "rm", "six")).toBe("six\n");
  expect(await ctrd("network", "prune")).toBe("back\n");
  expect(await runOk("ip", ["-o", "link"])).not.toContain("br-");
  expect(await ctrd("network", "ls", "-q")).toBe("bridge\nhost\nnone\n");
});

test("6: a port that is taken: which one, and by whom", async () => {
  await cli.background("--name", "first", "-p", "8081:80", h.image, ...server);
  const second = await attempt(["run", "-d", "--name", "second", "-p", "8081:8081", h.image, "sleep", "1"]);
  expect(second).toMatchObject({
    code: 125,
    stderr: expect.stringMatching(/^ctrd: port 8081\/tcp is taken by container "first" \([0-9a-f]{12}\)\n +stop that/),
  });
  const listener = createServer().listen(8082, "127.0.0.1");
  await once(listener, "listening");
  const third = await attempt(["run", "--rm", "-p", "8082:80", h.image, "true"]);
  expect(third.stderr).toContain(`port 8082/tcp is taken by process ${process.pid} (`);
  listener.close();
  // Without one of the host, one is chosen; ranges; other protocols are no conflict.
  await ctrd("rm", "-f", "second");
  const more = ["-p", "80", "-p", "9000-9001:80-81/udp", "-p", "8081:80/udp"];
  await cli.background("--name", "chosen", ...more, h.image, ...server);
  const ports = (await ctrd("ps", "--filter", "name=chosen", "--format", "{{.Ports}}")).trim();
  expect(ports).toMatch(/^0.0.0.0:\d+->80\/tcp, 0.0.0.0:9000->80\/udp, 0.0.0.0:9001->81\/udp, 0.0.0.0:8081->80\/udp$/);
  await answers(Number(/:(\d+)->80/.exec(ports)?.[1]), "it is");
});

test("6: what fails leaves nothing", async () => {
  const before = readdirSync(h.path("net.d"));
  const broken = { name: "broken", cniVersion: "1.0.0", plugins: [{ type: "bridge", ipam: { type: "host-local" } }] };
  writeFileSync(h.path("net.d/broken.conflist"), JSON.stringify(broken));
  const failed = await attempt(["run", "--rm", "--net", "bridge", "--net", "broken", h.image, "true"]);
  expect(failed).toMatchObject({
    code: 125,
    stderr: expect.stringMatching(/^ctrd: network "broken": plugin "bridge": ADD: no IP ranges specified/),
  });
  expect(await leftovers()).toEqual([]);
  // The network is there before the program is looked for.
  expect((await attempt(["run", "--rm", "-p", "8083:80", h.image, "no-such-program"])).code).toBe(127);
  expect(await leftovers()).toEqual([]);
  rmSync(h.path("net.d/broken.conflist"));
  writeFileSync(h.path("net.d/bad.conflist"), "{");
  expect((await attempt(["run", "--rm", "--net", "absent", h.image, "true"])).stderr).toMatch(
    /no network "absent" in .*net\.d; network configuration .*bad\.conflist: it is not JSON/,
  );
  expect((await attempt(["network", "ls"])).stderr).toContain(h.path("net.d/bad.conflist"));
  expect(await ctrd("run", "--rm", h.image, "echo", "works")).toBe("works\n");
  rmSync(h.path("net.d/bad.conflist"));
  expect(readdirSync(h.path("net.d"))).toEqual(before);
});

test("6: a firewall that was loaded again keeps nothing from stopping, starting and being removed", async () => {
  await cli.background("--name", "odd", "-p", "8086:80", h.image, ...server);
  await answers(8086, "it is");
  await runOk("sh", ["-c", "iptables -t nat -F; iptables -t nat -X"]);
  await ctrd("stop", "-t", "0", "odd");
  await ctrd("start", "odd");
  await answers(8086, "it is");
  await runOk("sh", ["-c", "iptables -t nat -F; iptables -t nat -X"]);
  expect(await attempt(["rm", "-f", "odd"])).toMatchObject({ code: 0, stderr: "" });
});

test("6: without plugins: no network by default, and a clear error where one is asked for", async () => {
  const env = { CTRD_CNI_BIN_DIR: h.path("nowhere"), CTRD_CNI_CONFIG_DIR: h.path("empty") };
  expect(await attempt(["run", "--rm", h.image, "ip", "-o", "addr"], { env })).toMatchObject({
    code: 0,
    stdout: expect.not.stringContaining("eth0"),
    stderr: expect.stringContaining(`plugin "bridge" is not in ${h.path("nowhere")} (install CNI plugins`),
  });
  for (const flags of [
    ["--net", "bridge"],
    ["-p", "80:80"],
  ]) {
    expect(await attempt(["run", "--rm", ...flags, h.image, "true"], { env })).toMatchObject({
      code: 125,
      stderr: expect.stringContaining(`plugin "bridge" is not in`),
    });
  }
  mkdirSync(h.path("some"));
  for (const name of ["bridge", "host-local"]) symlinkSync(join(plugins, name), h.path(`some/${name}`));
  const some = { CTRD_CNI_BIN_DIR: h.path("some"), CTRD_CNI_CONFIG_DIR: h.path("plain") };
  expect((await attempt(["run", "--rm", h.image, "ip", "-o", "addr"], { env: some })).stdout).toContain("eth0");
  expect(readFileSync(h.path("plain/ctrd-bridge.conflist"), "utf8")).not.toContain("portmap");
  expect(existsSync(h.path("empty"))).toBe(false);
});

test("6: started by another client, and after the daemon has restarted", async () => {
  const id = await cli.background("--name", "kept", "-p", "8084:80", h.image, ...server);
  await h.daemon.kill9();
  await h.daemon.restart();
  await answers(8084, "it is");
  await ctrd("stop", "-t", "0", "kept");
  // ctr knows nothing of networks: the hooks of the spec do.
  const ctr = h.daemon.spawnCtr(["tasks", "start", id]);
  await answers(8084, "it is");
  await h.daemon.ctr(["tasks", "kill", "-s", "SIGKILL", id]);
  await once(ctr, "exit");
  await noNetworks();
});

ctrdTest("6: restarted by the daemon: on the same port", async () => {
  const script = "test -e /second || { touch /second; sleep 1; exit 1; }; exec httpd -f -p 80 -h /etc";
  await cli.background("--restart", "on-failure", "-p", "8085:80", h.image, "sh", "-c", script);
  await until("it answers", async () => (await ask(8085)).includes("404 Not Found") || undefined, 30_000);
});
