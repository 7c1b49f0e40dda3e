/** The works, in the order in which they are done: the idle memory first, while the daemons are fresh. */
import { clientPull } from "./works/client-pull.ts";
import { commandLineStart } from "./works/cli-start.ts";
import { execSync } from "./works/cri-exec.ts";
import { listContainers, listPods } from "./works/cri-list.ts";
import { podStart, podsAtOnce } from "./works/cri-pods.ts";
import { criPull } from "./works/cri-pull.ts";
import { contentRead, contentWrite } from "./works/content.ts";
import { largeLayer, pullMemory } from "./works/large-layers.ts";
import { syncCollection } from "./works/gc.ts";
import { load, metadataWrites } from "./works/load.ts";
import { idleMemory } from "./works/memory.ts";
import { prepareSnapshots } from "./works/prepare.ts";
import { pull } from "./works/pull.ts";
import { runContainer } from "./works/run.ts";
import { unpack } from "./works/unpack.ts";
import type { Work } from "./work.ts";

export const works: readonly Work[] = [
  ...idleMemory,
  runContainer,
  prepareSnapshots,
  syncCollection,
  metadataWrites,
  ...load,
  pull,
  contentWrite,
  contentRead,
  unpack,
  clientPull,
  largeLayer,
  ...pullMemory,
  commandLineStart,
  podStart,
  podsAtOnce,
  execSync,
  criPull,
  listContainers,
  listPods,
];
