import { describe, expect, it } from "vitest";
import { parseImageDocument } from "./documents.ts";
import { childLabels, fittingManifests } from "./handlers.ts";
import { MediaType } from "./media-types.ts";
import { formatPlatform, matchPlatform, parsePlatformText } from "./platforms.ts";
import { chainIds } from "./unpack.ts";

const digest = `sha256:${"a".repeat(64)}`;
const entry = (mediaType: string) => ({ mediaType, digest, size: 3 });
const parse = (document: unknown, mediaType: string = MediaType.OciManifest) =>
  parseImageDocument(Buffer.from(typeof document === "string" ? document : JSON.stringify(document)), {
    mediaType,
    digest,
    size: 1n,
    annotations: new Map(),
  });

describe("parseImageDocument", () => {
  it("reads a manifest and an index", () => {
    const manifest = parse({
      schemaVersion: 2,
      config: entry(MediaType.OciConfig),
      layers: [entry(MediaType.OciLayer)],
    });
    expect(manifest).toMatchObject({ kind: "manifest", config: { digest, size: 3n }, layers: [{ digest }] });
    const platform = { os: "linux", architecture: "arm", variant: "v7" };
    const index = parse({ manifests: [{ ...entry(MediaType.OciManifest), platform }] }, MediaType.OciIndex);
    expect(index).toMatchObject({ kind: "index", manifests: [{ platform }] });
  });

  it("takes inline data of the full size only", () => {
    const config = { ...entry(MediaType.OciConfig), data: Buffer.from("abc").toString("base64") };
    expect(parse({ config, layers: [] })).toMatchObject({ config: { data: Buffer.from("abc") } });
    expect(parse({ config: { ...config, size: 4 }, layers: [] })).not.toHaveProperty("config.data");
  });

  it.each([
    ["GHSA-5j5w-g665-5m35: both", { config: entry(""), layers: [], manifests: [] }, "both an index and a manifest"],
    ["both, by config alone", { config: entry(""), manifests: [] }, "both an index and a manifest"],
    ["another type than announced", { mediaType: MediaType.OciIndex, config: entry("") }, "is announced as"],
    ["no JSON", "{", "is not JSON"],
    ["no object", [], "is not a JSON object"],
    [
      "a malformed digest",
      { config: { ...entry(""), digest: "sha256:../../x" } },
      'the malformed digest "sha256:../../x"',
    ],
    ["a negative size", { config: { ...entry(""), size: -1 } }, "has no valid size"],
    ["a size beyond integers", { config: { ...entry(""), size: 2 ** 60 } }, "has no valid size"],
    ["too many layers", { config: entry(""), layers: Array(10_001).fill(entry("")) }, "more than 10000"],
    ["schema 1", { schemaVersion: 1, fsLayers: [] }, "schema 1"],
  ])("refuses %s", (_name, document, message) => {
    expect(() => parse(document)).toThrow(message);
  });
});

describe("childLabels", () => {
  it("counts by kind", () => {
    const children = [MediaType.OciConfig, MediaType.OciLayer, MediaType.OciLayerGzip, MediaType.OciManifest, "x/y"];
    const labels = childLabels(children.map((mediaType) => ({ mediaType, digest, size: 1n, annotations: new Map() })));
    const prefix = "containerd.io/gc.ref.content.";
    expect([...labels.keys()]).toEqual(["config", "l.0", "l.1", "m.0", "0"].map((suffix) => prefix + suffix));
  });
});

describe("platforms", () => {
  const local = { os: "linux", architecture: "amd64", variant: "", osVersion: "" };
  it.each([
    ["linux/amd64", "linux/amd64"],
    ["arm64", "linux/arm64"],
    ["linux/arm64/v8", "linux/arm64"],
    ["linux/arm", "linux/arm/v7"],
    ["armhf", "linux/arm/v7"],
    ["windows", "windows/amd64"],
    ["Linux/X86_64", "linux/amd64"],
  ])("reads %s as %s", (text, normal) => {
    expect(formatPlatform(parsePlatformText(text, local))).toBe(normal);
  });
  it("refuses what is none", () => {
    for (const text of ["", "a/b/c/d", "a//b", "a b"]) expect(() => parsePlatformText(text, local)).toThrow("platform");
  });
  it("prefers the platform itself to what its processors also run", () => {
    const matcher = matchPlatform(parsePlatformText("linux/arm/v7", local));
    const candidates = ["linux/arm/v5", "linux/arm/v7", "linux/arm64", "linux/arm/v6", "windows/arm/v7"];
    const platforms = candidates.map((text) => parsePlatformText(text, local));
    const fitting = platforms.filter((one) => matcher.matches(one)).toSorted((a, b) => matcher.compare(a, b));
    expect(fitting.map(formatPlatform)).toEqual(["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]);
  });
});

describe("fittingManifests", () => {
  it("is the one order of pulling, unpacking and exporting: a manifest without a platform is the last resort", () => {
    const local = { os: "linux", architecture: "amd64", variant: "", osVersion: "" };
    const named = (architecture?: string) => ({
      ...{ mediaType: MediaType.OciManifest, digest, size: 1n, annotations: new Map<string, string>() },
      ...(architecture === undefined ? {} : { platform: { ...local, architecture } }),
    });
    const index = [named(), named("386"), named("arm64"), named("amd64"), named()];
    const order = fittingManifests(index, matchPlatform(local)).map(({ platform }) => platform?.architecture);
    expect(order).toEqual(["amd64", "386", undefined, undefined]);
  });
});

it("chains diff ids as the image specification says", () => {
  const [first, second] = chainIds([digest, digest]);
  expect(first).toBe(digest);
  expect(second).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect(second).not.toBe(digest);
});
