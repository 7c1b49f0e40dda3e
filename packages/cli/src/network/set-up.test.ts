/** Real plugins, in a network namespace that this process moves into. */
import type { ChildProcess } from "node:child_process";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomBytes } from "node:crypto";
import { afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import type { PortMapping } from "@ctrd/cni";
import { removeNamespace } from "@ctrd/cni";
import { CloneFlag, setInterfaceUp, unshare } from "@ctrd/sys";
import { writeFiles } from "./container-files.ts";
import { readState, writeRequest } from "./request.ts";
import { namespacePath, releaseEnded, setUp, takeDown } from "./set-up.ts";

interface Container {
  readonly id: string;
  readonly directory: string;
  readonly process: ChildProcess;
  readonly pid: number;
}

let root: string;
let containers: Container[];
beforeAll(() => {
  unshare(CloneFlag.NewNet);
  setInterfaceUp("lo");
});
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "set-up-"));
  containers = [];
});
afterEach(async () => {
  for (const { directory, process, id } of containers) {
    process.kill("SIGKILL");
    await takeDown(directory, "removed");
    expect(existsSync(namespacePath(id))).toBe(false);
  }
  expect(rules()).toBe("");
  // Without a namespace the plugin knows no addresses to take its other rules away for.
  flush();
  rmSync(root, { recursive: true });
});

const ports: readonly PortMapping[] = [{ hostPort: 18_080, containerPort: 80, protocol: "tcp" }];

/** A process in a namespace of its own, and the directory of its container. */
async function container(wanted: { ports?: readonly PortMapping[] } = {}): Promise<Container> {
  const id = randomBytes(32).toString("hex");
  const directory = join(root, "daemon/namespace", id);
  await mkdir(directory, { recursive: true });
  const settings = { configDirectory: join(root, "net.d"), pluginDirectories: ["/usr/lib/cni"], root };
  const name = `c${containers.length}`;
  await writeRequest(directory, {
    ...{ id, name, hostname: name, ips: [], aliases: [], hosts: [], settings },
    networks: ["bridge"],
    ports: wanted.ports ?? [],
  });
  await writeFiles(directory, { hostname: name, hosts: [], dns: {} });
  const made = { id, directory, ...(await processIn()) };
  containers.push(made);
  return made;
}

async function processIn(): Promise<{ process: ChildProcess; pid: number }> {
  const child = spawn("unshare", ["--net", "sh", "-c", "echo ready; exec sleep 1000"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  await once(child.stdout, "data");
  return { process: child, pid: child.pid ?? 0 };
}

function flush(): void {
  execFileSync("sh", ["-c", "iptables -t nat -F; iptables -t nat -X"]);
}

/** The rules that ports of containers have. */
function rules(): string {
  const all = execFileSync("iptables", ["-t", "nat", "-S"], { encoding: "utf8" });
  return (all.match(/^.*to-destination.*$/gm) ?? []).join("\n");
}

it("sets up, tells neighbours, and takes down", async () => {
  const [one, two] = [await container(), await container({ ports })];
  await setUp(one.directory, one.pid);
  await setUp(two.directory, two.pid);
  const address = (await readState(two.directory))?.interfaces[0]?.addresses[0]?.ip;
  expect(readFileSync(join(one.directory, "hosts"), "utf8")).toContain(`${address}\tc1 `);
  expect(rules()).toContain(`--to-destination ${address}:80`);
  // Somebody was too late: another process of the container runs by now.
  await takeDown(two.directory, "ended");
  expect(await readState(two.directory)).toBeDefined();
  await takeDown(two.directory, "removed");
  expect(await readState(two.directory)).toBeUndefined();
  expect(readFileSync(join(one.directory, "hosts"), "utf8")).not.toContain("c1");
});

it("takes down what an earlier run has left, with its namespace or without", async () => {
  const one = await container({ ports });
  await setUp(one.directory, one.pid);
  const first = (await readState(one.directory))?.interfaces[0];
  one.process.kill("SIGKILL");
  await once(one.process, "exit");
  const again = await processIn();
  await setUp(one.directory, again.pid);
  expect(rules().split("\n")).toHaveLength(1);
  expect((await readState(one.directory))?.interfaces[0]).not.toEqual(first);
  // As after a reboot.
  again.process.kill("SIGKILL");
  await removeNamespace(namespacePath(one.id));
  flush();
  const third = await processIn();
  await setUp(one.directory, third.pid);
  expect(rules().split("\n")).toHaveLength(1);
  third.process.kill("SIGKILL");
});

it("is not kept from a new start by rules that are gone, as after a reload of the firewall", async () => {
  const one = await container({ ports });
  await setUp(one.directory, one.pid);
  flush();
  await expect(takeDown(one.directory, "removed")).rejects.toThrow(/plugin "bridge": DEL: /);
  await setUp(one.directory, one.pid);
  expect(rules().split("\n")).toHaveLength(1);
});

it("gives a port to one of those who want it at the same time", async () => {
  const wanting = [await container({ ports }), await container({ ports }), await container({ ports })];
  const outcomes = await Promise.allSettled(wanting.map(({ directory, pid }) => setUp(directory, pid)));
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  const errors = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [String(outcome.reason)] : []));
  expect(errors).toEqual(Array(2).fill(expect.stringMatching(/port 18080\/tcp is taken by container "c\d"/)));
  expect(rules().split("\n")).toHaveLength(1);
  expect(wanting.filter(({ id }) => existsSync(namespacePath(id)))).toHaveLength(1);
});

it("frees the ports of a container that nobody has taken down", async () => {
  const [one, two] = [await container({ ports }), await container({ ports })];
  await setUp(one.directory, one.pid);
  await releaseEnded(ports, root);
  await expect(setUp(two.directory, two.pid)).rejects.toThrow(/is taken by container "c0"/);
  one.process.kill("SIGKILL");
  await once(one.process, "exit");
  await releaseEnded(ports, root);
  await setUp(two.directory, two.pid);
});
