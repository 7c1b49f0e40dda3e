import { EventsLost } from "@ctrd/api/ctrd/events/lost";
import { PullEnded, PullStarted } from "@ctrd/api/ctrd/progress/v1/progress";
import { ContainerCreate, ContainerDelete, ContainerUpdate } from "@ctrd/api/events/container";
import { ContentCreate, ContentDelete } from "@ctrd/api/events/content";
import { ImageCreate, ImageDelete, ImageUpdate } from "@ctrd/api/events/image";
import { NamespaceCreate, NamespaceDelete, NamespaceUpdate } from "@ctrd/api/events/namespace";
import { SandboxCreate, SandboxExit, SandboxStart } from "@ctrd/api/events/sandbox";
import { SnapshotCommit, SnapshotPrepare, SnapshotRemove } from "@ctrd/api/events/snapshot";
import {
  TaskCheckpointed,
  TaskCreate,
  TaskDelete,
  TaskExecAdded,
  TaskExecStarted,
  TaskExit,
  TaskIO,
  TaskOOM,
  TaskPaused,
  TaskResumed,
  TaskStart,
} from "@ctrd/api/events/task";

interface Decoder {
  decode(bytes: Uint8Array): object;
}

/** containerd's events and ctrd's own, by the last part of their names: their packages are several. */
const messages: ReadonlyMap<string, Decoder> = new Map<string, Decoder>(
  Object.entries({
    ContainerCreate,
    ContainerDelete,
    ContainerUpdate,
    ContentCreate,
    ContentDelete,
    EventsLost,
    ImageCreate,
    ImageDelete,
    ImageUpdate,
    NamespaceCreate,
    NamespaceDelete,
    NamespaceUpdate,
    PullEnded,
    PullStarted,
    SandboxCreate,
    SandboxExit,
    SandboxStart,
    SnapshotCommit,
    SnapshotPrepare,
    SnapshotRemove,
    TaskCheckpointed,
    TaskCreate,
    TaskDelete,
    TaskExecAdded,
    TaskExecStarted,
    TaskExit,
    TaskIO,
    TaskOOM,
    TaskPaused,
    TaskResumed,
    TaskStart,
  }),
);

/** Decodes an event of containerd's or ctrd's; undefined when its type is not known. */
export function decodeEvent(name: string, value: Uint8Array): object | undefined {
  if (!/^(containerd|ctrd)\./.test(name)) return undefined;
  return messages.get(name.slice(name.lastIndexOf(".") + 1))?.decode(value);
}
