// Layers through real programs: openssl, gzip and the shell.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { ContentStore } from "@ctrd/core/content";
import { createContext } from "@ctrd/core/context";
import type { StreamProcessor } from "@ctrd/core/diff";
import { digestOf } from "@ctrd/core/digests";
import type { Any, Descriptor } from "@ctrd/core/records";
import type { LeakCheck, TempDir } from "@ctrd/testkit/fixtures";
import { leakCheck, tarBuffer, tempDir } from "@ctrd/testkit/fixtures";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { WalkingDiffer, WalkingDifferOptions } from "./index.ts";
import { openWalkingDiffer } from "./index.ts";
import { processorsFor } from "./stream-processors.ts";

const layerType = "application/vnd.oci.image.layer.v1.tar";
const sealed = `${layerType}+gzip+encrypted`;
const tar = tarBuffer([{ path: "secret", data: "what only the key shows" }]);

let dir: TempDir;
let differ: WalkingDiffer | undefined;
let leaks: LeakCheck;
let roots = 0;

beforeEach(async () => {
  dir = await tempDir("processors-");
  leaks = await leakCheck({ root: dir.path });
  await mkdir(join(dir.path, "tmp"));
  writeFileSync(join(dir.path, "key"), "a test's password\n");
});
afterEach(async () => {
  await differ?.close();
  differ = undefined;
  expect(readdirSync(join(dir.path, "tmp"))).toEqual([]);
  await leaks.expectClean();
  await dir[Symbol.asyncDispose]();
});

const processor = (
  id: string,
  accepts: string,
  returns: string,
  script: string,
  ...env: string[]
): StreamProcessor => ({
  id,
  accepts: [accepts],
  returns,
  path: "sh",
  args: ["-c", script, "sh"],
  env,
});
const cipher = ["enc", "-aes-256-cbc", "-pbkdf2"];
/** A real decoder: it needs the key, which is a file. */
const decoder = (): StreamProcessor => ({
  id: "decoder",
  accepts: [sealed],
  returns: `${layerType}+gzip`,
  path: "openssl",
  args: [...cipher, "-d", "-pass", `file:${dir.path}/key`],
  env: [],
});
const seal = (data: Buffer): Buffer =>
  execFileSync("openssl", [...cipher, "-pass", `file:${dir.path}/key`], { input: data, maxBuffer: 1 << 28 });

/** A store of one blob. */
function storeOf(data: Buffer, mediaType: string): { layer: Descriptor; content: ContentStore } {
  const path = join(dir.path, "blob");
  writeFileSync(path, data);
  const read = async (offset: bigint, length: number): Promise<Uint8Array> =>
    data.subarray(Number(offset), Number(offset) + length);
  const reader = async () => ({ size: BigInt(data.length), read, close: async () => {}, path });
  const layer = { mediaType, digest: digestOf(data), size: BigInt(data.length), annotations: new Map() };
  return { layer, content: { reader } as unknown as ContentStore };
}

interface Applying {
  processors: readonly StreamProcessor[];
  limits?: WalkingDifferOptions["limits"];
  payloads?: Map<string, Any>;
  signal?: AbortSignal;
}

/** Applies the blob to a new directory. */
async function apply(data: Buffer, mediaType: string, { processors, limits, payloads, signal }: Applying) {
  const { layer, content } = storeOf(data, mediaType);
  const root = join(dir.path, `root${roots++}`);
  await mkdir(root);
  await differ?.close();
  const temporary = join(dir.path, "tmp");
  differ = await openWalkingDiffer({ content, temporary, workers: 1, processors, ...(limits && { limits }) });
  const ctx = createContext({ namespace: "test", ...(signal && { signal }) });
  const mounts = [{ type: "bind", source: root, target: "", options: ["rbind"] }];
  const applied = await differ.apply(ctx, layer, mounts, payloads === undefined ? {} : { payloads });
  return { applied, root };
}

describe("CVE-2022-24778: an encrypted layer", () => {
  it("is unpacked with the key, and refused when the key is gone or another", async () => {
    const data = seal(gzipSync(tar));
    const { applied, root } = await apply(data, sealed, { processors: [decoder()] });
    expect(applied).toMatchObject({ mediaType: layerType, digest: digestOf(tar), size: BigInt(tar.length) });
    expect(await readFile(join(root, "secret"), "utf8")).toBe("what only the key shows");
    writeFileSync(join(dir.path, "key"), "another password\n");
    const refused = { kind: "failed-precondition", message: expect.stringMatching(/sha256:.*processor "decoder"/) };
    await expect(apply(data, sealed, { processors: [decoder()] })).rejects.toMatchObject(refused);
    execFileSync("rm", [join(dir.path, "key")]);
    await expect(apply(data, sealed, { processors: [decoder()] })).rejects.toMatchObject(refused);
  });

  it("is refused without a processor, and says what to do", async () => {
    await expect(apply(seal(gzipSync(tar)), sealed, { processors: [] })).rejects.toMatchObject({
      kind: "not-implemented",
      message: expect.stringMatching(/encrypted: name a program that has the key in \[stream_processors\]/),
    });
  });

  it("is refused when the program is not installed, and says what to do", async () => {
    const absent = { ...decoder(), path: "no-such-decoder" };
    await expect(apply(seal(gzipSync(tar)), sealed, { processors: [absent] })).rejects.toMatchObject({
      kind: "failed-precondition",
      message: expect.stringMatching(/no-such-decoder.*cannot be started.*install it/),
    });
  });
});

describe("stream processors", () => {
  it("follow each other until a layer comes out, each told what it reads", async () => {
    const tell = `printf '%s %s\\n' "$STREAM_PROCESSOR_MEDIATYPE" "$EXTRA" >> ${dir.path}/told; `;
    const chain = [
      processor("outer", "test/outer", "test/inner", `${tell} base64 -d`, "EXTRA=a=b"),
      processor("inner", "test/inner", layerType, `${tell} gzip -d`, "EXTRA="),
    ];
    const data = Buffer.from(gzipSync(tar).toString("base64"));
    const { applied } = await apply(data, "test/outer", { processors: chain });
    expect(applied.digest).toBe(digestOf(tar));
    expect(readFileSync(join(dir.path, "told"), "utf8")).toBe("test/outer a=b\ntest/inner \n");
  });

  it("get their payload on descriptor 3, and no other descriptor", async () => {
    const script = `cat <&3 > ${dir.path}/payload; ls -l /proc/$$/fd > ${dir.path}/fds; cat`;
    const payload: Any = { typeUrl: "test/Payload", value: Buffer.from("a secret") };
    await apply(tar, "test/any", {
      processors: [processor("mine", "test/any", layerType, script)],
      payloads: new Map([["mine", payload]]),
    });
    const got = await readFile(join(dir.path, "payload"));
    expect(got).toEqual(Buffer.from(`\x0a\x0ctest/Payload\x12\x08a secret`, "latin1"));
    const fds = readFileSync(join(dir.path, "fds"), "utf8").trim().split("\n").slice(1);
    // 10 and more are the shell's own copies.
    const own = fds.map((line) => Number(line.split(/\s+/).at(-3))).filter((fd) => fd < 10);
    expect(own).toEqual([0, 1, 2, 3]);
  });

  it("are taken before what is read anyway; the last that accepts a type wins", () => {
    const one = processor("one", `${layerType}+gzip`, layerType, "");
    const two = processor("two", `${layerType}+gzip`, layerType, "");
    expect(processorsFor(`${layerType}+gzip`, [one, two])).toEqual([two]);
    expect(processorsFor(layerType, [one, two])).toEqual([]);
    const ring = [processor("a", "test/a", "test/b", ""), processor("b", "test/b", "test/a", "")];
    expect(() => processorsFor("test/a", ring)).toThrow(/media type "test\/a", which "a" and "b" makes? of "test\/a"/);
    expect(() => processorsFor("__proto__", ring)).toThrow(/no program of \[stream_processors\] accepts it/);
  });

  it("fail with what they say", async () => {
    const failing = processor("failing", "test/any", layerType, "echo this is why >&2; exit 9");
    await expect(apply(tar, "test/any", { processors: [failing] })).rejects.toMatchObject({
      kind: "failed-precondition",
      message: expect.stringMatching(/"failing" \(sh\) failed \(exit code 9\): this is why/),
    });
  });

  it("are killed with what they started when they write too much", async () => {
    const bomb = processor("bomb", "test/any", layerType, "cat /dev/zero | cat; true");
    await expect(apply(tar, "test/any", { processors: [bomb], limits: { maxSize: 20 << 20 } })).rejects.toMatchObject({
      kind: "resource-exhausted",
      message: expect.stringMatching(/"bomb" wrote more than 20971520 bytes/),
    });
  });

  it("are killed when the call is given up", async () => {
    const file = join(dir.path, "pid");
    const hanging = processor("hanging", "test/any", layerType, `echo $$ > ${file}; exec sleep 1000`);
    const controller = new AbortController();
    const applying = apply(tar, "test/any", { processors: [hanging], signal: controller.signal });
    const started = async (): Promise<boolean> => (await stat(file).catch(() => undefined)) !== undefined;
    await expect.poll(started, { timeout: 10_000 }).toBe(true);
    controller.abort(new Error("enough"));
    await expect(applying).rejects.toThrow("enough");
    const state = (): string => {
      try {
        return /\) (\S)/.exec(readFileSync(`/proc/${readFileSync(file, "utf8").trim()}/stat`, "utf8"))?.[1] ?? "";
      } catch {
        return "gone";
      }
    };
    await expect.poll(state).toMatch(/^(gone|Z|X)$/);
  });
});
