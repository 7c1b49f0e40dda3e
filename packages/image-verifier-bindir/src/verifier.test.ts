// Real programs are asked: shell scripts.
import { chmod, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createContext } from "@ctrd/core/context";
import type { Logger } from "@ctrd/core/log";
import { silentLogger } from "@ctrd/core/log";
import type { Descriptor } from "@ctrd/core/records";
import type { TempDir } from "@ctrd/testkit/fixtures";
import { tempDir } from "@ctrd/testkit/fixtures";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { BinDirOptions } from "./index.ts";
import { binDirVerifier } from "./index.ts";

let dir: TempDir;
let bin: string;

beforeEach(async () => {
  dir = await tempDir("verifier-");
  bin = join(dir.path, "bin");
  await mkdir(bin);
});
afterEach(() => dir[Symbol.asyncDispose]());

const target: Descriptor = {
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  digest: `sha256:${"a".repeat(64)}`,
  size: 2n ** 53n + 1n,
  annotations: new Map([['with "quotes"', "and\nlines"]]),
};
const name = "registry.test/some/image:1";

async function script(file: string, body: string): Promise<string> {
  const path = join(bin, file);
  await writeFile(path, `#!/bin/sh\n${body}\n`);
  await chmod(path, 0o755);
  return path;
}

function verify(options: Partial<BinDirOptions> = {}, call: { signal?: AbortSignal; log?: Logger } = {}) {
  const verifier = binDirVerifier({ directory: bin, ...options });
  return verifier.verifyImage(createContext({ namespace: "default", log: silentLogger, ...call }), name, target);
}

/** Whether it runs: one that is dead and that nobody has waited for yet does not. */
async function isAlive(pidFile: string): Promise<boolean> {
  try {
    const stat = await readFile(`/proc/${(await readFile(pidFile, "utf8")).trim()}/stat`, "utf8");
    return !stat.includes(") Z ");
  } catch {
    return false;
  }
}

it("accepts everything when the directory is empty or missing", async () => {
  expect(await verify()).toMatchObject({ ok: true });
  expect(await verify({ directory: join(dir.path, "absent") })).toMatchObject({ ok: true });
  await writeFile(join(dir.path, "file"), "");
  await expect(verify({ directory: join(dir.path, "file") })).rejects.toMatchObject({ kind: "failed-precondition" });
});

it("asks all in order of name, with arguments and a descriptor", async () => {
  const record = (label: string): string => `
    printf '%s\\n' ${label} "$@" >> ${dir.path}/arguments
    cat >> ${dir.path}/input
    echo "fine for ${label}"`;
  await script("20-second", record("second"));
  await script("10-first", record("first"));
  const judgement = await verify();
  expect(judgement).toEqual({ ok: true, reason: "10-first: fine for first, 20-second: fine for second" });
  const given = ["-name", name, "-digest", target.digest];
  given.push("-stdin-media-type", "application/vnd.oci.descriptor.v1+json");
  const lines = (await readFile(join(dir.path, "arguments"), "utf8")).trim().split("\n");
  expect(lines).toEqual(["first", ...given, "second", ...given]);
  const input = await readFile(join(dir.path, "input"), "utf8");
  const [first = "", second] = input.split(/(?<=\})(?=\{)/);
  expect(second).toBe(first);
  expect(first).toContain('"size":9007199254740993');
  expect(JSON.parse(first)).toMatchObject({
    mediaType: target.mediaType,
    digest: target.digest,
    annotations: { 'with "quotes"': "and\nlines" },
  });
});

it("stops at the first that refuses, and tells why", async () => {
  await script("1", "exit 0");
  await script("2", "echo not signed; echo details >&2; exit 3");
  await script("3", `touch ${dir.path}/asked`);
  expect(await verify()).toEqual({ ok: false, reason: "2 (exit code 3): not signed" });
  await expect(readFile(join(dir.path, "asked"))).rejects.toThrow("ENOENT");
  await script("2", "echo only an error >&2; exit 1");
  expect(await verify()).toEqual({ ok: false, reason: "2 (exit code 1): only an error" });
  await script("2", "kill -9 $$");
  expect(await verify()).toMatchObject({ ok: false, reason: expect.stringContaining("signal SIGKILL") });
});

it("keeps 32 KiB of the reason; the rest is read, so that the program ends", async () => {
  await script("long", "head -c 3000000 /dev/zero | tr '\\0' x; exit 7");
  const { ok, reason } = await verify();
  expect(ok).toBe(false);
  expect(reason).toBe(`long (exit code 7): ${"x".repeat(32 * 1024)}`);
});

it("asks no more than it is told to, and says so", async () => {
  const warnings: unknown[] = [];
  const log = { ...silentLogger, warn: (...about: unknown[]) => void warnings.push(about) } as Logger;
  await script("1", "exit 0");
  await script("2", "exit 0");
  await script("3", "exit 1");
  expect(await verify({ maxVerifiers: 2 }, { log })).toMatchObject({ ok: true });
  expect(JSON.stringify(warnings)).toContain('"skipped":["3"]');
  expect(await verify({ maxVerifiers: 0 })).toMatchObject({ ok: true });
  expect(await verify({ maxVerifiers: Infinity })).toMatchObject({ ok: false });
  for (let at = 0; at < 10; at++) await script(`0${at}`, "exit 0");
  expect(await verify()).toMatchObject({ ok: true });
});

it("is an error when one cannot be run", async () => {
  const path = await script("1", "exit 0");
  await chmod(path, 0o644);
  const failed = { kind: "failed-precondition", message: expect.stringContaining(path) };
  await expect(verify()).rejects.toMatchObject(failed);
  await script("1", "exit 0");
  await mkdir(join(bin, "2"));
  await expect(verify()).rejects.toMatchObject({ ...failed, message: expect.stringContaining(join(bin, "2")) });
  expect(await verify({ maxVerifiers: 1 })).toMatchObject({ ok: true });
  await symlink(join(dir.path, "absent"), join(bin, "0"));
  await expect(verify()).rejects.toMatchObject({ ...failed, message: expect.stringContaining("ENOENT") });
});

it("is an error when one does not end; all that it has started is killed", async () => {
  await script("hangs", `sleep 1000 & echo $! > ${dir.path}/pid; wait`);
  const began = performance.now();
  await expect(verify({ timeoutMs: 500 })).rejects.toMatchObject({
    kind: "failed-precondition",
    message: expect.stringContaining("no answer within 500 ms"),
  });
  expect(performance.now() - began).toBeLessThan(5_000);
  await expect.poll(() => isAlive(join(dir.path, "pid"))).toBe(false);
});

it("does not wait for what one leaves behind with its output open", async () => {
  await script("leaves", `sleep 1000 & echo $! > ${dir.path}/pid; echo fine; exit 0`);
  const began = performance.now();
  expect(await verify()).toEqual({ ok: true, reason: "leaves: fine" });
  expect(performance.now() - began).toBeLessThan(5_000);
  process.kill(Number(await readFile(join(dir.path, "pid"), "utf8")), "SIGKILL");
});

it("ends with its call", async () => {
  await script("hangs", `echo $$ > ${dir.path}/pid; exec sleep 1000`);
  const controller = new AbortController();
  const verifying = verify({}, { signal: controller.signal });
  await expect.poll(() => isAlive(join(dir.path, "pid"))).toBe(true);
  controller.abort(new Error("enough"));
  await expect(verifying).rejects.toThrow("enough");
  await expect.poll(() => isAlive(join(dir.path, "pid"))).toBe(false);
});
