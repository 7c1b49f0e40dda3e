import type { Image } from "@ctrd/core/images";
import { imageStoreSuite } from "@ctrd/testkit/images";
import { describe, test } from "vitest";
import { Bench, expectKind } from "../../test/bench.ts";
import { digestOf } from "../../test/memory-content.ts";
import { openPart } from "../../test/open-store.ts";

const openImages = openPart(({ images }) => images);

imageStoreSuite(
  "metadata-lmdb",
  async (root) => {
    const opened = await openImages(root);
    return { ...opened, leases: opened.metadata.leases };
  },
  { leases: true },
);

describe("names that are no keys of the database", () => {
  const image: Image = {
    name: "docker.io/library/x:latest",
    labels: new Map(),
    target: { mediaType: "m", digest: digestOf("x"), size: 5n, annotations: new Map() },
    createdAt: undefined,
    updatedAt: undefined,
  };

  test.each([
    ["a NUL", "a\0b"],
    ["more than 1024 bytes", "x".repeat(1025)],
  ])("with %s are refused", async (_what, name) => {
    const b = await Bench.open();
    await expectKind(b.store.images.create(b.ctx, { ...image, name }), "invalid-argument");
  });
});
