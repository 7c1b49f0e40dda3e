/**
 * What a request is about, for those who ask what the daemon is doing.
 */
import type { OperationObject } from "@ctrd/core/operations";

/** Kind of object, and the path to its id in the request. */
type Reading = readonly [kind: string, ...path: string[]];

/** What requests of a service may be about; the first that is there counts. */
const readings: ReadonlyMap<string, readonly Reading[]> = new Map<string, readonly Reading[]>([
  [
    "containerd.services.containers.v1.Containers",
    [
      ["container", "id"],
      ["container", "container", "id"],
    ],
  ],
  [
    "containerd.services.content.v1.Content",
    [
      ["content", "digest"],
      ["content", "info", "digest"],
      ["ingest", "ref"],
    ],
  ],
  [
    "containerd.services.diff.v1.Diff",
    [
      ["content", "diff", "digest"],
      ["ingest", "ref"],
    ],
  ],
  [
    "containerd.services.images.v1.Images",
    [
      ["image", "name"],
      ["image", "image", "name"],
    ],
  ],
  ["containerd.services.leases.v1.Leases", [["lease", "id"]]],
  [
    "containerd.services.namespaces.v1.Namespaces",
    [
      ["namespace", "name"],
      ["namespace", "namespace", "name"],
    ],
  ],
  ["containerd.services.sandbox.v1.Controller", [["sandbox", "sandboxId"]]],
  [
    "containerd.services.sandbox.v1.Store",
    [
      ["sandbox", "sandboxId"],
      ["sandbox", "sandbox", "sandboxId"],
    ],
  ],
  [
    "containerd.services.snapshots.v1.Snapshots",
    [
      ["snapshot", "key"],
      ["snapshot", "info", "name"],
    ],
  ],
  ["containerd.services.tasks.v1.Tasks", [["container", "containerId"]]],
  [
    "runtime.v1.RuntimeService",
    [
      ["container", "containerId"],
      ["container", "config", "metadata", "name"],
      ["pod", "podSandboxId"],
    ],
  ],
  ["runtime.v1.ImageService", [["image", "image", "image"]]],
]);

/** Readings of single methods, where those of their service would say something else. */
const methodReadings: ReadonlyMap<string, readonly Reading[]> = new Map<string, readonly Reading[]>([
  ["runtime.v1.RuntimeService/RunPodSandbox", [["pod", "config", "metadata", "name"]]],
]);

/** What `request` is about; undefined for what is about nothing in particular, and for streams. */
export function objectOfRequest(service: string, method: string, request: unknown): OperationObject | undefined {
  const found = methodReadings.get(`${service}/${method}`) ?? readings.get(service) ?? [];
  for (const [kind, ...path] of found) {
    const id = textAt(request, path);
    if (id !== "") return { kind, id };
  }
  return undefined;
}

function textAt(value: unknown, path: readonly string[]): string {
  let at = value;
  for (const key of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return "";
    at = (at as Readonly<Record<string, unknown>>)[key];
  }
  return typeof at === "string" ? at : "";
}
