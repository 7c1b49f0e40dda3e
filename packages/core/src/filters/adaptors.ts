import type { Container } from "../containers.ts";
import type { ContentInfo, IngestStatus } from "../content.ts";
import type { Image } from "../images.ts";
import type { Lease } from "../leases.ts";
import type { Labels } from "../records.ts";
import type { Sandbox } from "../sandboxes.ts";
import type { SnapshotInfo } from "../snapshots.ts";
import { SnapshotKind } from "../snapshots.ts";
import type { FieldAdaptor } from "./matcher.ts";

type Field = ReturnType<FieldAdaptor>;

const absent: Field = { value: "", present: false };

/** A scalar: an empty one counts as absent. */
function scalar(value: string): Field {
  return value === "" ? absent : { value, present: true };
}

/**
 * A field of a map: the path's parts, joined with dots, are the key.
 *
 * @param path the path below the map's own name
 */
export function labelField(labels: Labels, path: readonly string[]): Field {
  const value = labels.get(path.join("."));
  return value === undefined ? absent : { value, present: true };
}

/** Fields `id`, `runtime.name`, `image`, `labels.<k>`. */
export function containerAdaptor(container: Container): FieldAdaptor {
  return (path) => {
    switch (path[0]) {
      case "id":
        return scalar(container.id);
      case "runtime":
        return path[1] === "name" ? scalar(container.runtime?.name ?? "") : absent;
      case "image":
        return scalar(container.image);
      case "labels":
        return labelField(container.labels, path.slice(1));
      default:
        return absent;
    }
  };
}

/** Fields `name`, `target.digest`, `target.mediatype`, `labels.<k>`, `annotations.<k>` (of the target). */
export function imageAdaptor(image: Image): FieldAdaptor {
  return (path) => {
    switch (path[0]) {
      case "name":
        return scalar(image.name);
      case "target":
        if (path[1] === "digest") return scalar(image.target?.digest ?? "");
        return path[1] === "mediatype" ? scalar(image.target?.mediaType ?? "") : absent;
      case "labels":
        return labelField(image.labels, path.slice(1));
      case "annotations":
        return image.target === undefined ? absent : labelField(image.target.annotations, path.slice(1));
      default:
        return absent;
    }
  };
}

/** Fields `digest`, `labels.<k>`. */
export function contentAdaptor(info: ContentInfo): FieldAdaptor {
  return (path) => {
    if (path[0] === "digest") return { value: info.digest, present: true };
    return path[0] === "labels" ? labelField(info.labels, path.slice(1)) : absent;
  };
}

/** Field `ref`. */
export function ingestAdaptor(status: IngestStatus): FieldAdaptor {
  return (path) => (path[0] === "ref" ? scalar(status.ref) : absent);
}

const kindNames: ReadonlyMap<number, string> = new Map([
  [SnapshotKind.View, "view"],
  [SnapshotKind.Active, "active"],
  [SnapshotKind.Committed, "committed"],
]);

/**
 * Fields `kind` (`active`, `view`, `committed`), `name`, `parent`, `labels.<k>`. An empty parent is present: containerd
 * looks for the layer of a remote snapshotter with `parent==""`.
 */
export function snapshotAdaptor(info: SnapshotInfo): FieldAdaptor {
  return (path) => {
    switch (path[0]) {
      case "kind":
        return scalar(kindNames.get(info.kind) ?? "");
      case "name":
        return scalar(info.name);
      case "parent":
        return { value: info.parent, present: true };
      case "labels":
        return labelField(info.labels, path.slice(1));
      default:
        return absent;
    }
  };
}

/** Fields `id`, `labels.<k>`. */
export function leaseAdaptor(lease: Lease): FieldAdaptor {
  return identified(lease.id, lease.labels);
}

/** Fields `id`, `labels.<k>`. */
export function sandboxAdaptor(sandbox: Sandbox): FieldAdaptor {
  return identified(sandbox.sandboxId, sandbox.labels);
}

/** Fields `type`, `id`. */
export function pluginAdaptor(plugin: { readonly type: string; readonly id: string }): FieldAdaptor {
  return (path) => {
    if (path[0] === "type") return scalar(plugin.type);
    return path[0] === "id" ? scalar(plugin.id) : absent;
  };
}

function identified(id: string, labels: Labels): FieldAdaptor {
  return (path) => {
    if (path[0] === "id") return scalar(id);
    return path[0] === "labels" ? labelField(labels, path.slice(1)) : absent;
  };
}
