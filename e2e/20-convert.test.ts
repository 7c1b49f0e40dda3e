/** Issue 4, items 4 and 6, Shows 4: images converted and committed by us, read by real tools; `cp` and `diff`. */
import { busyboxImage, pushImage, randomBytesOf, startContainerd } from "@ctrd/testkit/fixtures";
import { mkdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { cliOf, type Cli } from "./support/cli.ts";
import { runOk, sha256, until } from "./support/command.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { peerTest, stargzGrpc } from "./support/peers.ts";
import { Stargz } from "./support/stargz.ts";

/** Cannot be compressed, and has several chunks. */
const big = randomBytesOf("convert-big", 9_000_000);

// Each command is a process of its own, which takes its time on a busy machine.
vi.setConfig({ testTimeout: 150_000 });

let h: Harness;
let cli: Cli;
let stargz: Stargz | undefined;
let source: string;

beforeAll(async () => {
  stargz = new Stargz();
  await stargz.start();
  const config = `[proxy_plugins.stargz]\ntype = "snapshot"\naddress = "${stargz.address}"\n`;
  h = await openHarness("convert", { pull: false, config });
  cli = cliOf(h);
  const files = [
    { path: "lazy/", type: "directory" },
    { path: "lazy/line", data: "read on its own\n", mode: 0o600, uid: 7, xattrs: { "user.note": "kept" } },
    { path: "lazy/ünï", data: "" },
    { path: "lazy/big", data: big },
  ];
  const image = await busyboxImage({ applets: "hardlink", layers: [{ entries: files }], mediaTypes: "docker" });
  source = await pushImage(h.registry, "convert/source", "1", image);
  await cli.ctrd("pull", source);
});
afterAll(async () => {
  await h?.close();
  await stargz?.close();
});

const pushed = (name: string): string => `${h.registry.host}/convert/${name}:1`;

/** Converts the source, pushes it, and removes it here. @returns its reference */
async function converted(name: string, ...flags: string[]): Promise<string> {
  const reference = pushed(name);
  await cli.ctrd("convert", source, reference, ...flags);
  await cli.ctrd("push", reference);
  return reference;
}

peerTest("4: an image converted to eStargz is pulled lazily, and in full", ["ctr-remote", stargzGrpc], async () => {
  if (stargz === undefined) throw new Error("not started");
  const lazy = stargz;
  const reference = await converted("estargz", "--estargz", "--oci");
  // Not while what it kept is being collected: the snapshotter of ctr-remote knows no leases.
  await h.daemon.ctr(["images", "rm", "--sync", reference]);
  const flags = [...h.daemon.flags(), "images", "rpull", "--plain-http", reference];
  await runOk("ctr-remote", flags, { env: { TMPDIR: h.daemon.tmp } });
  expect(lazy.layers()).toHaveLength(2);
  const run = (snapshotter: string, ...command: string[]): Promise<string> =>
    h.daemon.ctr(["run", "--rm", "--snapshotter", snapshotter, reference, h.daemon.id("lazy"), ...command]);
  expect(await run("stargz", "sh", "-c", "cd /lazy; cat line; stat -c '%a %u' line; echo *")).toBe(
    "read on its own\n600 7\nbig line ünï\n",
  );
  expect(lazy.fetchedBytes()).toBeLessThan(big.length / 2);
  expect(await run("stargz", "sha256sum", "/lazy/big")).toBe(`${sha256(big)}  /lazy/big\n`);
  expect(lazy.fetchedBytes()).toBeGreaterThan(big.length);
  await h.daemon.ctr(["images", "rm", "--sync", reference]);
  await until("no layer is mounted", () => lazy.layers().length === 0);

  await cli.ctrd("pull", reference);
  expect(await run("overlayfs", "sh", "-c", "sha256sum /lazy/big; cat /lazy/line")).toBe(
    `${sha256(big)}  /lazy/big\nread on its own\n`,
  );
  await cli.ctrd("rmi", reference);
});

interface ManifestJson {
  mediaType: string;
  config: { mediaType: string };
  layers: { mediaType: string; digest: string }[];
}

test("4: an image converted to zstd is read by skopeo and by a containerd of 2023", async () => {
  const reference = await converted("zstd", "--zstd", "--level", "9");
  const raw = await runOk("skopeo", ["inspect", "--raw", "--tls-verify=false", `docker://${reference}`]);
  const { config, layers } = JSON.parse(raw) as ManifestJson;
  expect(config.mediaType).toBe("application/vnd.oci.image.config.v1+json");
  expect(layers.map(({ mediaType }) => mediaType)).toEqual(
    Array.from({ length: 2 }, () => "application/vnd.oci.image.layer.v1.tar+zstd"),
  );
  const files = h.path("skopeo");
  await runOk("skopeo", ["copy", "--src-tls-verify=false", `docker://${reference}`, `dir:${files}`]);
  expect(await runOk("zstd", ["-dc", `${files}/${layers[1]?.digest.slice(7) ?? ""}`])).toContain("read on its own");
  await using real = await startContainerd();
  await runOk("ctr", ["--address", real.address, "images", "pull", "--plain-http", reference]);
  const mounted = h.path("mounted");
  mkdirSync(mounted);
  await runOk("ctr", ["--address", real.address, "images", "mount", reference, mounted]);
  try {
    expect(sha256(readFileSync(`${mounted}/lazy/big`))).toBe(sha256(big));
  } finally {
    await runOk("ctr", ["--address", real.address, "images", "unmount", "--rm", mounted]);
  }
  await cli.ctrd("rmi", reference);
});

test("4: gzip made of plain layers is unpacked by umoci; the same conversion gives the same digest", async () => {
  const plain = await converted("plain", "--uncompressed", "--oci");
  const gzip = pushed("gzip");
  const digestOf = async (...args: string[]): Promise<string> =>
    (await cli.ctrd("convert", ...args)).trim().split("\n").at(-1)?.replace(/^.*: /, "") ?? "";
  const digest = await digestOf(plain, gzip, "--gzip");
  expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
  await cli.ctrd("rmi", gzip);
  expect(await digestOf(plain, gzip, "--gzip")).toBe(digest);
  await cli.ctrd("push", gzip);
  await cli.ctrd("rmi", plain, gzip);
  const layout = h.path("layout");
  await runOk("skopeo", ["copy", "--src-tls-verify=false", `docker://${gzip}`, `oci:${layout}:1`]);
  await runOk("umoci", ["unpack", "--image", `${layout}:1`, `${layout}-bundle`]);
  expect(sha256(readFileSync(`${layout}-bundle/rootfs/lazy/big`))).toBe(sha256(big));
});

test("4: archives are saved compressed, with zstd layers as well, and load again in ctr and here", async () => {
  const reference = pushed("saved");
  await cli.ctrd("convert", source, reference, "--zstd", "-q");
  const archive = h.path("saved.tar.zst");
  await cli.ctrd("save", "--compress", "zstd", "-o", archive, reference);
  const digest = await cli.ctrd("images", reference, "--format", "{{.Digest}}");
  await cli.ctrd("rmi", reference);
  await cli.ctrd("load", "-i", archive);
  expect(await cli.ctrd("images", reference, "--format", "{{.Digest}}")).toBe(digest);
  await runOk("zstd", ["-q", "-d", "--rm", archive, "-o", h.path("saved.tar")]);
  await using real = await startContainerd();
  expect(await runOk("ctr", ["--address", real.address, "images", "import", h.path("saved.tar")])).toContain(reference);
  await cli.ctrd("rmi", reference);
});

test("4: convert says what is wrong", async () => {
  const fails = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await cli.attempt(["convert", ...args]);
    expect(code).toBe(1);
    return stderr;
  };
  expect(await fails(source, pushed("no"))).toContain("--estargz");
  expect(await fails(source, pushed("no"), "--zstd", "--gzip")).toContain("zstd and gzip");
  expect(await fails(source, pushed("no"), "--zstd", "--level", "23")).toContain("1 to 22");
  expect(await fails("not-there", pushed("no"), "--zstd")).toContain("ctrd pull not-there");
  expect(await cli.ctrd("images", "-q", "--format", "{{.Name}}")).not.toContain("/no");
});
