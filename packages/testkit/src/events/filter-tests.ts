import { ContainerCreate } from "@ctrd/api/events/container";
import { ImageCreate } from "@ctrd/api/events/image";
import { SnapshotPrepare } from "@ctrd/api/events/snapshot";
import { TaskCreate } from "@ctrd/api/events/task";
import { withNamespace } from "@ctrd/core/context";
import type { Any } from "@ctrd/core/records";
import { protoAny } from "@ctrd/core/typeurl";
import { expect, test } from "vitest";
import { expectKind } from "../expectations.ts";
import type { WithEvents } from "./harness.ts";
import { containersUntil, exitOf, take } from "./harness.ts";

/** Filters on namespace and topic. */
export function filterTests(withEvents: WithEvents): void {
  test.each<[filters: string[], seen: string[]]>([
    [[], ["exit", "create", "other"]],
    [[""], ["exit", "create", "other"]],
    [['topic=="/tasks/exit"'], ["exit", "other"]],
    [['topic!="/tasks/exit"'], ["create"]],
    [['topic~="^/containers/"'], ["create"]],
    [["topic~=|^/tasks/|"], ["exit", "other"]],
    [["namespace==other"], ["other"]],
    [["namespace!=other"], ["exit", "create"]],
    [['topic=="/tasks/exit",namespace==other'], ["other"]],
    [
      ['topic=="/containers/create"', "namespace==other"],
      ["create", "other"],
    ],
    [['topic=="/none"'], []],
    [["nonsense"], []],
  ])("filters %j", (filters, seen) =>
    withEvents(async ({ events, ctx }) => {
      const all = filters.every((filter) => filter === "");
      const picked = events.subscribe(ctx, all ? filters : [...filters, 'topic=="/end"']);
      await events.publish(ctx, "/tasks/exit", exitOf("exit"));
      await events.publish(ctx, "/containers/create", exitOf("create"));
      await events.publish(withNamespace(ctx, "other"), "/tasks/exit", exitOf("other"));
      await events.publish(ctx, "/end", exitOf("end"));
      expect(await containersUntil(picked, "end")).toEqual(seen);
    })(),
  );

  test(
    "a malformed filter is refused",
    withEvents(async ({ events, ctx }) => {
      for (const filter of ["topic==", "==", 'topic="/a"', "a b"]) {
        // A subscription over a connection learns it only when it reads.
        const subscribe = async (): Promise<unknown> => take(events.subscribe(ctx, ['topic=="/a"', filter]), 1);
        await expectKind(subscribe(), "invalid-argument");
      }
    }),
  );
}

const container = protoAny(
  "containerd.events.ContainerCreate",
  ContainerCreate.encode(ContainerCreate.create({ id: "c", runtime: { name: "io.containerd.runc.v2" } })).finish(),
);
const task = protoAny(
  "containerd.events.TaskCreate",
  TaskCreate.encode(
    TaskCreate.create({ containerId: "c", bundle: "/b", io: { stdin: "/in", terminal: true }, pid: 7 }),
  ).finish(),
);
const image = protoAny(
  "containerd.services.images.v1.ImageCreate",
  ImageCreate.encode(ImageCreate.create({ name: "i", labels: new Map([["a.b", "1"]]) })).finish(),
);
const snapshot = protoAny(
  "containerd.events.SnapshotPrepare",
  SnapshotPrepare.encode(SnapshotPrepare.create({ key: "k", snapshotter: "overlayfs" })).finish(),
);

/** Filters on fields of the events, `event.<field>`. */
export function fieldTests(withEvents: WithEvents): void {
  test.each<[string, string, Any, boolean]>([
    ["event.container_id==c", "a TaskCreate", task, true],
    ["event.container_id!=c", "a TaskCreate", task, false],
    ["event.container_id!=d", "a TaskCreate", task, true],
    ["event.bundle", "a TaskCreate", task, true],
    ["event.checkpoint", "a TaskCreate", task, false],
    ["event.io.stdin==/in", "a TaskCreate", task, true],
    ["event.io.terminal==true", "a TaskCreate", task, true],
    ["event.pid", "a TaskCreate", task, false],
    ["event.id==c", "a ContainerCreate", container, true],
    ["event.runtime.name~=runc", "a ContainerCreate", container, true],
    ["event.constructor", "a ContainerCreate", container, false],
    ["event.name==i", "an ImageCreate", image, true],
    ["event.labels.a.b==1", "an ImageCreate", image, true],
    ["event.labels.toString", "an ImageCreate", image, false],
    ["event.key==k,event.snapshotter==overlayfs", "a SnapshotPrepare", snapshot, true],
    ["event.key==k", "one with a host in its type", { ...snapshot, typeUrl: `x.example/${snapshot.typeUrl}` }, true],
    ["event.key==k", "one of an unknown type", { ...snapshot, typeUrl: "example.Unknown" }, false],
    ["event.key==k", "bytes that are none", { ...snapshot, value: Uint8Array.of(255) }, false],
  ])("%s on %s", (filter, _what, event, wanted) =>
    withEvents(async ({ events, ctx }) => {
      const picked = events.subscribe(ctx, [filter, 'topic=="/end"']);
      await events.publish(ctx, "/an/event", event);
      await events.publish(ctx, "/end", exitOf("end"));
      const [first] = await take(picked, 1);
      expect(first?.topic).toBe(wanted ? "/an/event" : "/end");
    })(),
  );
}
