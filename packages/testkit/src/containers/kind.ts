import type { Container, ContainerStore } from "@ctrd/core/containers";
import { anyOf } from "../records/harness.ts";
import type { RecordKind } from "../records/kind.ts";

/** Containers for the common tests. */
export const containerKind: RecordKind<ContainerStore, Container> = {
  noun: "container",
  idField: "id",
  make: (id, labels = new Map()) => ({
    id,
    labels,
    image: "docker.io/library/x:latest",
    runtime: { name: "io.containerd.runc.v2", options: anyOf("options") },
    spec: anyOf("spec"),
    snapshotter: "overlayfs",
    snapshotKey: "key",
    createdAt: undefined,
    updatedAt: undefined,
    extensions: new Map([["e", anyOf("e")]]),
    sandbox: "sandbox",
  }),
  idOf: (container) => container.id,
  create: (store, ctx, container) => store.create(ctx, container),
  get: (store, ctx, id) => store.get(ctx, id),
  list: (store, ctx, filters) => store.list(ctx, filters),
  update: (store, ctx, container, mask) => store.update(ctx, container, mask),
  delete: (store, ctx, id) => store.delete(ctx, id),
};
