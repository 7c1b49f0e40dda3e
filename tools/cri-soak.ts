/**
 * `npm run soak:cri -- --clients 10000`: what clients and outputs of CRI leave behind in a daemon, and how long its calls
 * take meanwhile. Exits with 1 when something is left. `--only clients,exec-sync,logs` runs some of its parts.
 */
import { randomBytes } from "node:crypto";
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { openCri } from "../e2e/support/cri.ts";
import { holdings, settled, visit } from "../e2e/support/stream-clients.ts";

const { values } = parseArgs({
  options: {
    clients: { type: "string", default: "10000" },
    seconds: { type: "string", default: "5" },
    only: { type: "string", default: "clients,exec-sync,logs" },
  },
});
const [clients, seconds, parts] = [Number(values.clients), Number(values.seconds), values.only.split(",")];
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const megabytes = (kib: number): string => `${(kib / 1024).toFixed(0)} MiB`;
/** Memory that may come on top, in KiB: garbage that is not collected yet. */
const tolerance = 48 * 1024;

process.env["CTRD_E2E_RUN"] ??= randomBytes(3).toString("hex");
const cri = await openCri("soak");
const pod = await cri.runPod("soak");

/** Asks for the status of a container over and over until `work` is done. @returns the waits in ms, sorted */
async function askingMeanwhile(containerId: string, work: Promise<unknown>): Promise<number[]> {
  const waits: number[] = [];
  let over = false;
  const done = work.finally(() => (over = true));
  done.catch(() => {});
  while (!over) {
    const asked = performance.now();
    await cri.status(containerId);
    waits.push(performance.now() - asked);
    await sleep(5);
  }
  await done;
  return waits.toSorted((a, b) => a - b);
}

const quantiles = (waits: readonly number[]): string => {
  const at = (part: number): string => (waits[Math.floor((waits.length - 1) * part)] ?? 0).toFixed(1);
  return `status p50 ${at(0.5)} p99 ${at(0.99)} max ${at(1)} ms (${waits.length} calls)`;
};

function keepFlat(what: string, growth: number): void {
  if (growth <= tolerance) return;
  say(`FAILED: memory has grown by ${megabytes(growth)} over ${what}`);
  process.exitCode = 1;
}

async function soakClients(): Promise<void> {
  const id = await cri.start(pod, "clients", "while true; do echo tick; sleep 0.02; done", { stdin: true });
  await visit(cri, id, Math.min(1_000, Math.ceil(clients / 5)));
  const before = await settled(cri, pod, holdings(cri, pod));
  const batch = Math.ceil(clients / 10);
  for (let done = 0; done < clients; done += batch) {
    const begin = performance.now();
    await visit(cri, id, batch);
    const now = await settled(cri, pod, before);
    const rate = batch / ((performance.now() - begin) / 1_000);
    say(
      `${done + batch} clients (${rate.toFixed(0)}/s): ${now.handles} handles (${before.handles} before), ` +
        `shim ${now.shimHandles} (${before.shimHandles}), memory ${megabytes(now.memory)} (${megabytes(before.memory)})`,
    );
  }
  keepFlat(`${clients} clients`, (await settled(cri, pod, before)).memory - before.memory);
}

async function soakExecSync(): Promise<void> {
  const id = await cri.start(pod, "exec-sync", "sleep 1000000");
  const run = (script: string): Promise<unknown> =>
    cri.runtime.execSync(cri.ctx, { containerId: id, cmd: ["sh", "-c", script], timeout: 50n });
  await run("head -c 100000000 /dev/zero");
  const before = holdings(cri, pod);
  for (const [name, script] of [
    ["1 GB of output", "head -c 1000000000 /dev/zero"],
    ["1 GB on both outputs", "head -c 500000000 /dev/zero & head -c 500000000 /dev/zero >&2; wait"],
    ["a child that keeps the pipe and writes", "(while true; do echo x; sleep 0.01; done) & true"],
  ] as const) {
    const begin = performance.now();
    const waits = await askingMeanwhile(id, run(script));
    const { memory, handles } = holdings(cri, pod);
    const took = ((performance.now() - begin) / 1_000).toFixed(1);
    say(`ExecSync, ${name}: ${took} s, ${quantiles(waits)}, ${handles} handles, memory ${megabytes(memory)}`);
    keepFlat(name, memory - before.memory);
  }
}

async function soakLogs(): Promise<void> {
  const idle = await cri.start(pod, "idle", "sleep 1000000");
  const loads = [["yes"], [`yes ${"x".repeat(99)}`], ["yes", "yes", "yes", "yes"]];
  for (const [index, scripts] of loads.entries()) {
    const ids = await Promise.all(scripts.map((script, at) => cri.start(pod, `log${index}-${at}`, script)));
    const logs = scripts.map((_, at) => join(cri.logs, `soak/log${index}-${at}.log`));
    const written = (): number => logs.reduce((sum, log) => sum + statSync(log).size, 0);
    await sleep(1_500);
    const [size, begin] = [written(), performance.now()];
    const waits = await askingMeanwhile(idle, sleep(seconds * 1_000));
    const rate = (written() - size) / ((performance.now() - begin) / 1_000);
    say(
      `${scripts.length} x ${scripts[0]?.slice(0, 10)}: log ${(rate / 1e6).toFixed(0)} MB/s, ` +
        `${(rate / firstLine(logs[0] as string) / 1e6).toFixed(2)} M lines/s, ${quantiles(waits)}, ` +
        `memory ${megabytes(holdings(cri, pod).memory)}`,
    );
    for (const containerId of ids) await cri.runtime.removeContainer(cri.ctx, { containerId });
  }
}

/** Bytes of the first line of a file, its newline included. */
function firstLine(path: string): number {
  const head = Buffer.alloc(4_096);
  const file = openSync(path, "r");
  readSync(file, head);
  closeSync(file);
  return head.indexOf("\n") + 1;
}

try {
  say(`before all: memory ${megabytes(holdings(cri, pod).memory)}`);
  if (parts.includes("clients")) await soakClients();
  if (parts.includes("exec-sync")) await soakExecSync();
  if (parts.includes("logs")) await soakLogs();
} finally {
  await cri.close();
}
