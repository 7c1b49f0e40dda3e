import { createContext } from "@ctrd/core/context";
import type { ApplyOptions, Differ } from "@ctrd/core/diff";
import { notImplemented } from "@ctrd/core/errors";
import { expect, test } from "vitest";
import { imagesConfig } from "../config/images-config.ts";
import { layerDiffer } from "./layer-differ.ts";

const layer = (mediaType: string) => ({ mediaType, digest: "sha256:l", size: 1n, annotations: new Map() });
const plain = layer("application/vnd.oci.image.layer.v1.tar+gzip");
const encrypted = layer("application/vnd.oci.image.layer.v1.tar+gzip+encrypted");

/** A differ with a configuration, and the options that the one below it was called with. */
async function open(config: object): Promise<{ differ: Differ; seen: (ApplyOptions | undefined)[] }> {
  const result = await imagesConfig.standard["~standard"].validate(config);
  if (result.issues !== undefined) throw new Error(JSON.stringify(result.issues));
  const seen: (ApplyOptions | undefined)[] = [];
  const below: Differ = {
    async apply(_ctx, diff, _mounts, options) {
      seen.push(options);
      return diff;
    },
    compare: async () => {
      throw notImplemented("compare");
    },
  };
  return { differ: layerDiffer(below, result.value), seen };
}

test("layers are written to the disk when image_pull_with_sync_fs says so, with all other options", async () => {
  const payloads = new Map();
  for (const [config, syncFs] of [
    [{}, false],
    [{ image_pull_with_sync_fs: true }, true],
  ] as const) {
    const { differ, seen } = await open(config);
    await differ.apply(createContext(), plain, [], { payloads });
    expect(seen).toEqual([{ payloads, syncFs }]);
  }
});

test("encrypted layers are applied with the keys of the machine, and refused without a key model", async () => {
  const { differ, seen } = await open({});
  await differ.apply(createContext(), encrypted, []);
  expect(seen.length).toBe(1);
  const keyless = await open({ image_decryption: { key_model: "" } });
  await keyless.differ.apply(createContext(), plain, []);
  await expect(keyless.differ.apply(createContext(), encrypted, [])).rejects.toThrow(/key_model to "node"/);
});
