/**
 * The fields of events that filters can name (`event.container_id`), by message.
 */
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
  TaskOOM,
  TaskPaused,
  TaskResumed,
  TaskStart,
} from "@ctrd/api/events/task";
import type { FieldAdaptor } from "@ctrd/core/filters";
import { labelField } from "@ctrd/core/filters";
import type { Any } from "@ctrd/core/records";
import { typeName } from "@ctrd/core/typeurl";

type Field = ReturnType<FieldAdaptor>;

/** Decodes an event and answers for its fields. */
type FieldReader = (value: Uint8Array) => FieldAdaptor;

/** The fields of one message: by name, what the rest of the path selects. */
type Fields<T> = Readonly<Record<string, (message: T, rest: readonly string[]) => Field>>;

const absent: Field = { value: "", present: false };

function text(value: string): Field {
  return value === "" ? absent : { value, present: true };
}

function reader<T>(codec: { decode(value: Uint8Array): T }, fields: Fields<T>): FieldReader {
  return (value) => {
    const message = codec.decode(value);
    return (path) => {
      const [name = "", ...rest] = path;
      return Object.hasOwn(fields, name) ? (fields[name]?.(message, rest) ?? absent) : absent;
    };
  };
}

type Labelled = { labels: Map<string, string> };
const labels = (message: Labelled, rest: readonly string[]): Field => labelField(message.labels, rest);
const id = (message: { id: string }): Field => text(message.id);
const name = (message: { name: string }): Field => text(message.name);
const key = (message: { key: string }): Field => text(message.key);
const image = (message: { image: string }): Field => text(message.image);
const digest = (message: { digest: string }): Field => text(message.digest);
const containerId = (message: { containerId: string }): Field => text(message.containerId);
const execId = (message: { execId: string }): Field => text(message.execId);
const checkpoint = (message: { checkpoint: string }): Field => text(message.checkpoint);
const snapshotter = (message: { snapshotter: string }): Field => text(message.snapshotter);
const sandboxId = (message: { sandboxId: string }): Field => text(message.sandboxId);

const taskFields: Fields<{ containerId: string }> = { container_id: containerId };
const execFields: Fields<{ containerId: string; execId: string }> = { container_id: containerId, exec_id: execId };
const endFields: Fields<{ containerId: string; id: string }> = { container_id: containerId, id };
const sandboxFields: Fields<{ sandboxId: string }> = { sandbox_id: sandboxId };
const namedFields: Fields<{ name: string } & Labelled> = { name, labels };

function taskIo(message: TaskCreate, rest: readonly string[]): Field {
  const { io } = message;
  switch (rest[0]) {
    case "stdin":
      return text(io?.stdin ?? "");
    case "stdout":
      return text(io?.stdout ?? "");
    case "stderr":
      return text(io?.stderr ?? "");
    case "terminal":
      return io?.terminal === true ? { value: "true", present: true } : absent;
    default:
      return absent;
  }
}

function runtimeField(message: ContainerCreate, rest: readonly string[]): Field {
  if (rest[0] === "name") return text(message.runtime?.name ?? "");
  return rest[0] === "options" ? eventField(message.runtime?.options, rest.slice(1)) : absent;
}

const readers: ReadonlyMap<string, FieldReader> = new Map([
  [
    "containerd.events.TaskCreate",
    reader(TaskCreate, { container_id: containerId, bundle: (m) => text(m.bundle), io: taskIo, checkpoint }),
  ],
  ["containerd.events.TaskStart", reader(TaskStart, taskFields)],
  ["containerd.events.TaskDelete", reader(TaskDelete, endFields)],
  ["containerd.events.TaskExit", reader(TaskExit, endFields)],
  ["containerd.events.TaskOOM", reader(TaskOOM, taskFields)],
  ["containerd.events.TaskExecAdded", reader(TaskExecAdded, execFields)],
  ["containerd.events.TaskExecStarted", reader(TaskExecStarted, execFields)],
  ["containerd.events.TaskPaused", reader(TaskPaused, taskFields)],
  ["containerd.events.TaskResumed", reader(TaskResumed, taskFields)],
  ["containerd.events.TaskCheckpointed", reader(TaskCheckpointed, { container_id: containerId, checkpoint })],
  ["containerd.events.ContainerCreate", reader(ContainerCreate, { id, image, runtime: runtimeField })],
  [
    "containerd.events.ContainerUpdate",
    reader(ContainerUpdate, { id, image, labels, snapshot_key: (m) => text(m.snapshotKey) }),
  ],
  ["containerd.events.ContainerDelete", reader(ContainerDelete, { id })],
  ["containerd.events.ContentCreate", reader(ContentCreate, { digest, mediaType: (m) => text(m.mediaType) })],
  ["containerd.events.ContentDelete", reader(ContentDelete, { digest })],
  ["containerd.services.images.v1.ImageCreate", reader(ImageCreate, namedFields)],
  ["containerd.services.images.v1.ImageUpdate", reader(ImageUpdate, namedFields)],
  ["containerd.services.images.v1.ImageDelete", reader(ImageDelete, { name })],
  ["containerd.events.NamespaceCreate", reader(NamespaceCreate, namedFields)],
  ["containerd.events.NamespaceUpdate", reader(NamespaceUpdate, namedFields)],
  ["containerd.events.NamespaceDelete", reader(NamespaceDelete, { name })],
  ["containerd.events.SnapshotPrepare", reader(SnapshotPrepare, { key, parent: (m) => text(m.parent), snapshotter })],
  ["containerd.events.SnapshotCommit", reader(SnapshotCommit, { key, name, snapshotter })],
  ["containerd.events.SnapshotRemove", reader(SnapshotRemove, { key, snapshotter })],
  ["containerd.events.SandboxCreate", reader(SandboxCreate, sandboxFields)],
  ["containerd.events.SandboxStart", reader(SandboxStart, sandboxFields)],
  ["containerd.events.SandboxExit", reader(SandboxExit, sandboxFields)],
]);

/** A field of an event. Events of other types, and values that do not decode, have no fields. */
export function eventField(event: Any | undefined, path: readonly string[]): Field {
  return eventAdaptor(event)(path);
}

/** Answers for the fields of an event; decodes it at the first question. */
export function eventAdaptor(event: Any | undefined): FieldAdaptor {
  let decoded: FieldAdaptor | undefined;
  return (path) => {
    decoded ??= decode(event);
    return decoded(path);
  };
}

function decode(event: Any | undefined): FieldAdaptor {
  const read = event === undefined ? undefined : readers.get(typeName(event.typeUrl));
  if (event === undefined || read === undefined) return () => absent;
  try {
    return read(event.value);
  } catch {
    // Bytes that are not the message they claim to be: a filter on them matches nothing.
    return () => absent;
  }
}
