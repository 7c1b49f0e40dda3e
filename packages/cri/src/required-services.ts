/** Services of the daemon that the plugins use through a client. */
import { EventPlugin } from "@ctrd/core/events";
import { ImageVerifierPlugin } from "@ctrd/core/image-verifier";
import { LeasePlugin } from "@ctrd/core/leases";
import type { Requirement } from "@ctrd/core/plugin";
import { optional } from "@ctrd/core/plugin";
import { SandboxStorePlugin } from "@ctrd/core/sandboxes";
import {
  ContainersService,
  ContentService,
  DiffService,
  ImagesService,
  NamespacesService,
  SnapshotsService,
  TasksService,
} from "@ctrd/core/services";

export const clientServices: readonly Requirement[] = [
  ContainersService,
  ContentService,
  DiffService,
  ImagesService,
  NamespacesService,
  SnapshotsService,
  TasksService,
  EventPlugin,
  LeasePlugin,
  SandboxStorePlugin,
  optional(ImageVerifierPlugin),
];
