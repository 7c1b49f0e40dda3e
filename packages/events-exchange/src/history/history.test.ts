import type { Envelope } from "@ctrd/core/events";
import { lostEventsTopic } from "@ctrd/core/events";
import { silentLogger } from "@ctrd/core/log";
import { now } from "@ctrd/core/records";
import { EventsLost } from "@ctrd/api/ctrd/events/lost";
import { mountSmallDisk } from "@ctrd/testkit/faults";
import { tempDir } from "@ctrd/testkit/fixtures";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, readdirSync, readFileSync, statSync, truncateSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { EventHistory } from "./history.ts";

const limits = { maxBytes: 1 << 20, maxAgeMs: 3_600_000 };

function event(id: number, bytes = 1): Envelope {
  const value = Buffer.alloc(Math.max(bytes, 4));
  value.writeUInt32LE(id);
  return { timestamp: now(), namespace: "n", topic: "/a", event: { typeUrl: "t", value } };
}

const idOf = ({ topic, event: any }: Envelope): number | string =>
  topic === lostEventsTopic
    ? `lost ${EventsLost.decode(any?.value ?? new Uint8Array()).count}`
    : Buffer.from(any?.value ?? []).readUInt32LE();

async function readAll(history: EventHistory, after = 0): Promise<(number | string)[]> {
  const cursor = history.cursor(after);
  const ids: (number | string)[] = [];
  while (!cursor.isAtEnd) ids.push(...(await cursor.next()).map(idOf));
  await cursor.close();
  return ids;
}

async function append(history: EventHistory, from: number, to: number, bytes?: number): Promise<bigint[]> {
  const kept = Array.from({ length: to - from }, (_unused, n) => history.append(event(from + n, bytes), true));
  await kept.at(-1)?.written;
  return kept.map(({ numbered }) => numbered.sequence);
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_unused, n) => from + n);
const sizeOf = (directory: string): number =>
  readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
const fileOf = (directory: string, index: number): string =>
  join(directory, readdirSync(directory).sort().at(index) ?? "");

test("what was written is read again, from any event on, and goes on after it was opened again", async () => {
  await using directory = await tempDir();
  const path = join(directory.path, "history");
  let history = await EventHistory.open(path, limits, silentLogger);
  expect(await readAll(history)).toEqual([]);
  const sequences = await append(history, 0, 500);
  expect(sequences).toEqual([...new Set(sequences)].sort());
  expect(await readAll(history, Number(sequences[0]) - 1)).toEqual(range(0, 500));
  expect(await readAll(history, Number(sequences[99]))).toEqual(range(100, 500));
  expect(await readAll(history, Number(sequences[499]))).toEqual([]);
  await history.close();
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(statSync(fileOf(path, 0)).mode & 0o777).toBe(0o600);
  history = await EventHistory.open(path, limits, silentLogger);
  expect(history.recent.map(idOf)).toEqual(range(244, 500));
  const [next = 0n] = await append(history, 500, 510);
  expect(next).toBeGreaterThan(sequences[499] ?? 0n);
  expect(await readAll(history, Number(sequences[449]))).toEqual(range(450, 510));
  await history.close();
});

test("events that are larger than a piece that is read are read whole", async () => {
  await using directory = await tempDir();
  const history = await EventHistory.open(directory.path, { ...limits, maxBytes: 64 << 20 }, silentLogger);
  const [first = 0n] = await append(history, 0, 3, 1 << 20);
  expect(await readAll(history, Number(first) - 1)).toEqual([0, 1, 2]);
  await history.close();
});

test("it takes no more bytes than it may; a reader is told that what it wants is gone", async () => {
  await using directory = await tempDir();
  const history = await EventHistory.open(directory.path, limits, silentLogger);
  const sequences: bigint[] = [];
  for (let at = 0; at < 6000; at += 50) {
    sequences.push(...(await append(history, at, at + 50, 500)));
    expect(sizeOf(directory.path)).toBeLessThanOrEqual(limits.maxBytes);
  }
  expect(sizeOf(directory.path)).toBeGreaterThan(limits.maxBytes / 2);
  const kept = await readAll(history, Number(sequences[0]));
  expect(kept[0]).toBe("lost 0");
  const first = Number(kept[1]);
  expect(first).toBeGreaterThan(3000);
  expect(kept.slice(1)).toEqual(range(first, 6000));
  // All that follow it are there.
  expect(await readAll(history, Number(sequences[first - 1]))).toEqual(range(first, 6000));
  await history.close();
});

test("a reader whose files are removed while it reads is told so", async () => {
  await using directory = await tempDir();
  const history = await EventHistory.open(directory.path, limits, silentLogger);
  const [first = 0n] = await append(history, 0, 1000, 500);
  const cursor = history.cursor(Number(first) - 1);
  const ids = (await cursor.next()).map(idOf);
  for (let at = 1000; at < 6000; at += 50) await append(history, at, at + 50, 500);
  while (!cursor.isAtEnd) ids.push(...(await cursor.next()).map(idOf));
  await cursor.close();
  const gap = ids.indexOf("lost 0");
  expect(ids.slice(0, gap)).toEqual(range(0, gap));
  const next = Number(ids[gap + 1]);
  expect(next).toBeGreaterThan(gap);
  expect(ids.slice(gap + 1)).toEqual(range(next, 6000));
  await history.close();
});

test("files that are too old go", async () => {
  await using directory = await tempDir();
  const history = await EventHistory.open(directory.path, { ...limits, maxAgeMs: 1600 }, silentLogger);
  await append(history, 0, 10);
  for (let at = 10, end = Date.now() + 2500; Date.now() < end; at++) {
    await append(history, at, at + 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const kept = await readAll(history);
  expect(kept).not.toContain(9);
  expect(kept.length).toBeGreaterThan(5);
  await history.close();
});

test("what a crash left half written is cut off, and damage in the middle is told", async () => {
  await using directory = await tempDir();
  let history = await EventHistory.open(directory.path, limits, silentLogger);
  const [first = 0n] = await append(history, 0, 20, 1000);
  for (let at = 20; at < 200; at += 20) await append(history, at, at + 20, 1000);
  await history.close();
  const last = fileOf(directory.path, -1);
  truncateSync(last, statSync(last).size - 100);
  history = await EventHistory.open(directory.path, limits, silentLogger);
  await append(history, 300, 303);
  expect(await readAll(history, Number(first) - 1)).toEqual([...range(0, 199), ...range(300, 303)]);
  await history.close();
  appendFileSync(fileOf(directory.path, -1), Buffer.alloc(4096));
  const [damaged, bytes] = [fileOf(directory.path, 1), readFileSync(fileOf(directory.path, 1))];
  bytes.fill(7, 20_000, 20_010);
  writeFileSync(damaged, bytes);
  history = await EventHistory.open(directory.path, limits, silentLogger);
  const ids = await readAll(history, Number(first) - 1);
  const gap = ids.indexOf("lost 0");
  expect(ids.filter((id) => id === "lost 0")).toHaveLength(1);
  expect(ids.slice(0, gap)).toEqual(range(0, gap));
  expect(ids.slice(gap + 1).slice(-4)).toEqual([198, ...range(300, 303)]);
  await history.close();
  unlinkSync(fileOf(directory.path, 1));
  history = await EventHistory.open(directory.path, limits, silentLogger);
  expect((await readAll(history, Number(first) - 1)).filter((id) => id === "lost 0")).toHaveLength(1);
  await history.close();
});

test("a full disk stops nothing; how many events could not be written is told in their place", async ({ skip }) => {
  skip(process.getuid?.() !== 0, "needs root to mount a file system");
  await using directory = await tempDir();
  await using disk = await mountSmallDisk(join(directory.path, "disk"), 1 << 20);
  const lines: string[] = [];
  const note = (_fields: unknown, message: string): void => void lines.push(message);
  const log = { ...silentLogger, error: note, info: note };
  const history = await EventHistory.open(join(disk.path, "history"), limits, log);
  const [first = 0n] = await append(history, 0, 10);
  await disk.fill();
  // The last page of the file has room.
  for (let at = 10; at < 20; at++) await append(history, at, at + 1, 4096);
  const meanwhile = await readAll(history, Number(first) - 1);
  expect(meanwhile.slice(0, 10)).toEqual(range(0, 10));
  await disk.free();
  await append(history, 20, 25);
  const ids = await readAll(history, Number(first) - 1);
  const [lost] = ids.filter((id) => typeof id === "string");
  const written = ids.filter((id) => typeof id === "number");
  expect(written.length + Number(String(lost).slice(5))).toBe(25);
  expect(ids.slice(-6)).toEqual([lost, ...range(20, 25)]);
  expect(lines).toEqual(["cannot write the history of events", "the history of events is written again"]);
  await history.close();
  const again = await EventHistory.open(join(disk.path, "history"), limits, log);
  expect(await readAll(again, Number(first) - 1)).toEqual(ids);
  await again.close();
});

const writer = `
import { EventHistory } from "./history.ts";
import { silentLogger } from "@ctrd/core/log";
import { writeSync } from "node:fs";
const history = await EventHistory.open(process.argv[1], ${JSON.stringify({ ...limits, maxBytes: 64 << 20 })}, silentLogger);
for (let id = 0; ; id++) {
  const value = Buffer.alloc(300);
  value.writeUInt32LE(id);
  const kept = history.append({ timestamp: undefined, namespace: "n", topic: "/a", event: { typeUrl: "t", value } }, id % 7 === 0);
  kept.written.then(() => writeSync(1, id + "\\n"));
  if (id % 7 === 0) await kept.written;
}
`;

test("what was said to be written is there when the process is killed", { timeout: 60_000 }, async () => {
  await using directory = await tempDir();
  for (let round = 0; round < 3; round++) {
    const path = join(directory.path, String(round));
    const args = ["--conditions=ctrd-source", "--input-type=module-typescript", "-e", writer, path];
    const child = spawn(process.execPath, args, { cwd: import.meta.dirname, stdio: ["ignore", "pipe", "inherit"] });
    let told = "";
    child.stdout.on("data", (chunk: Buffer) => {
      told += chunk.toString();
      if (told.length > 2000 * (round + 1)) child.kill("SIGKILL");
    });
    await once(child, "close");
    const last = Number(told.trimEnd().split("\n").at(-1));
    const history = await EventHistory.open(path, limits, silentLogger);
    const ids = await readAll(history, history.segments[0]?.after);
    expect(ids).toEqual(range(0, ids.length));
    expect(ids.length).toBeGreaterThan(last);
    await history.close();
  }
});
