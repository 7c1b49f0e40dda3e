import { describe, expect, it } from "vitest";
import { SnapshotKind } from "../snapshots.ts";
import type { FieldAdaptor } from "./index.ts";
import {
  compileFilters,
  containerAdaptor,
  contentAdaptor,
  imageAdaptor,
  ingestAdaptor,
  leaseAdaptor,
  pluginAdaptor,
  sandboxAdaptor,
  snapshotAdaptor,
} from "./index.ts";

const times = { createdAt: undefined, updatedAt: undefined };
const labels = new Map([["k", "v"]]);

const container = containerAdaptor({
  id: "c1",
  labels,
  image: "docker.io/library/alpine:3",
  runtime: { name: "io.containerd.runc.v2", options: undefined },
  spec: undefined,
  snapshotter: "overlayfs",
  snapshotKey: "c1",
  extensions: new Map(),
  sandbox: "",
  ...times,
});
const target = { mediaType: "application/x", digest: "sha256:12", size: 3n, annotations: new Map([["a.b", "c"]]) };
const image = imageAdaptor({ name: "n:1", labels, target, ...times });
const bareImage = imageAdaptor({ name: "n:1", labels, target: undefined, ...times });
const content = contentAdaptor({ digest: "", size: 3n, labels, ...times });
const ingest = ingestAdaptor({
  ref: "r",
  offset: 0n,
  total: 0n,
  expected: "",
  startedAt: undefined,
  updatedAt: undefined,
});
const snapshot = snapshotAdaptor({ name: "s", parent: "", kind: SnapshotKind.View, labels, ...times });
const lease = leaseAdaptor({ id: "l", labels, createdAt: undefined });
const sandbox = sandboxAdaptor({
  sandboxId: "sb",
  runtime: undefined,
  spec: undefined,
  labels,
  extensions: new Map(),
  sandboxer: "shim",
  ...times,
});
const plugin = pluginAdaptor({ type: "io.containerd.content.v1", id: "content" });

describe("field adaptors", () => {
  it.each<[string, FieldAdaptor, string, boolean]>([
    ["container", container, 'id==c1,image~=alpine,runtime.name=="io.containerd.runc.v2",labels.k==v', true],
    ["container", container, "snapshotter", false],
    ["container", container, "runtime", false],
    [
      "image",
      image,
      'name=="n:1",target.digest=="sha256:12",target.mediatype=="application/x",annotations.a.b==c',
      true,
    ],
    ["image", image, "target", false],
    ["image without a target", bareImage, "annotations.a.b", false],
    ["content", content, "digest", true],
    ["content", content, "size", false],
    ["content", content, "labels.k==v", true],
    ["ingest", ingest, "ref==r", true],
    ["ingest", ingest, "total", false],
    ["snapshot", snapshot, "kind==view,name==s,labels.k", true],
    ["snapshot", snapshot, "parent", true],
    ["snapshot", snapshot, 'parent==""', true],
    ["snapshot", snapshot, 'parent!=""', false],
    ["lease", lease, "id==l,labels.k==v", true],
    ["sandbox", sandbox, "id==sb,labels.k==v", true],
    ["plugin", plugin, 'type~="content",id==content', true],
    ["plugin", plugin, "platforms", false],
  ])("%s", (_name, adaptor, filter, expected) => {
    expect(compileFilters([filter])(adaptor)).toBe(expected);
  });
});
