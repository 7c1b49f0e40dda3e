import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { bytesOf, isEnd, LogReader } from "./log-reader.ts";
import { LogWriter } from "./log-writer.ts";

let directory: string;
beforeEach(async () => (directory = await mkdtemp(join(tmpdir(), "ctrd-cli-logs-"))));
afterEach(() => rm(directory, { recursive: true, force: true }));

async function readAll(): Promise<Buffer> {
  await using reader = new LogReader(directory);
  const parts: Buffer[] = [];
  for await (const record of reader.existing()) if (!isEnd(record)) parts.push(bytesOf(record));
  return Buffer.concat(parts);
}

it("gives back every byte, text or not, lines whole or not", async () => {
  const writer = new LogWriter(directory);
  const random = Buffer.from(Array.from({ length: 70_000 }, (_, at) => (at * 7919) % 256));
  const parts = [Buffer.from("grün\nhalf a "), Buffer.from("line\n\n"), random, Buffer.from("\ufeffmark\n")];
  for (const part of parts) writer.write("stdout", part);
  writer.end();
  expect(await readAll()).toEqual(Buffer.concat(parts));
});

it("keeps the newest files", async () => {
  const writer = new LogWriter(directory, { maxBytes: 1000, maxFiles: 3 });
  for (let number = 1; number <= 500; number++) writer.write("stdout", Buffer.from(`line ${number}\n`));
  writer.end();
  expect((await readdir(directory)).toSorted()).toEqual(["log.jsonl", "log.jsonl.1", "log.jsonl.2"]);
  const lines = (await readAll()).toString().trimEnd().split("\n");
  expect(lines.at(-1)).toBe("line 500");
  expect(lines).toEqual(lines.map((_, at) => `line ${500 - lines.length + at + 1}`));
});

it("follows through rotations", async () => {
  const writer = new LogWriter(directory, { maxBytes: 2000, maxFiles: 10 });
  await using reader = new LogReader(directory);
  await reader.skip();
  const writing = (async () => {
    for (let number = 1; number <= 100; number++) {
      writer.write("stderr", Buffer.from(`line ${number}\n`));
      if (number % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    writer.end();
  })();
  const lines: string[] = [];
  for await (const record of reader.following(AbortSignal.timeout(10_000))) {
    if (isEnd(record)) break;
    lines.push(bytesOf(record).toString());
  }
  await writing;
  expect(lines).toEqual(Array.from({ length: 100 }, (_, at) => `line ${at + 1}\n`));
});

it("waits for the rest of a line that is only half written", async () => {
  const record = JSON.stringify({ time: "2026-01-01T00:00:00.000Z", stream: "stdout", log: "whole\n" });
  await writeFile(join(directory, "log.jsonl"), record.slice(0, 20));
  expect((await readAll()).toString()).toBe("");
  await writeFile(join(directory, "log.jsonl"), `${record}\n`);
  expect((await readAll()).toString()).toBe("whole\n");
});
