// Events of one object come in the order in which it changed, however close the calls are to each other.
import type { Container } from "@ctrd/core/containers";
import { createContext } from "@ctrd/core/context";
import { EventPlugin } from "@ctrd/core/events";
import { ContainersService, ImagesService } from "@ctrd/core/services";
import { jsonAny, specTypeUrl } from "@ctrd/core/typeurl";
import { ContainerUpdate } from "@ctrd/api/events/container";
import { ImageUpdate } from "@ctrd/api/events/image";
import { tempDir } from "@ctrd/testkit/fixtures";
import { join } from "node:path";
import { expect, test } from "vitest";
import { builtins } from "../builtins.ts";
import { startDaemon } from "../daemon.ts";

const ctx = createContext({ namespace: "order" });
const rounds = 40;

function containerOf(id: string, label: string): Container {
  return {
    id,
    labels: new Map([["n", label]]),
    image: "",
    runtime: { name: "io.containerd.runc.v2", options: undefined },
    spec: jsonAny(specTypeUrl, { ociVersion: "1.1.0" }),
    snapshotter: "",
    snapshotKey: "",
    createdAt: undefined,
    updatedAt: undefined,
    extensions: new Map(),
    sandbox: "",
  };
}

function labelsOf(topic: string, value: Uint8Array): Map<string, string> {
  return topic === "/containers/update" ? ContainerUpdate.decode(value).labels : ImageUpdate.decode(value).labels;
}

test("of calls that share a transaction, too", async () => {
  await using directory = await tempDir();
  const [root, state] = [join(directory.path, "root"), join(directory.path, "state")];
  const daemon = await startDaemon({ plugins: builtins, config: { root, state } });
  try {
    const found = <T>(service: T | undefined): T => {
      if (service === undefined) throw new Error("a service is missing");
      return service;
    };
    const containerService = found(daemon.find(ContainersService));
    const imageService = found(daemon.find(ImagesService));
    const [exchange] = daemon.getAll(EventPlugin);
    const events = found(exchange).subscribe(ctx, ["namespace==order"]);
    const target = { mediaType: "x", digest: `sha256:${"a".repeat(64)}`, size: 1n, annotations: new Map() };
    const image = (name: string, label: string) => ({
      ...{ name, target, labels: new Map([["n", label]]), createdAt: undefined, updatedAt: undefined },
    });
    const calls: Promise<unknown>[] = [];
    for (let round = 0; round < rounds; round++) {
      const id = `c${round % 5}`;
      calls.push(
        containerService.create(ctx, containerOf(id, "0")),
        imageService.create(ctx, image(id, "0")),
        containerService.update(ctx, containerOf(id, "1"), ["labels"]),
        imageService.update(ctx, image(id, "1"), ["labels"]),
        containerService.update(ctx, containerOf(id, "2"), ["labels"]),
        imageService.update(ctx, image(id, "2"), ["labels"]),
        containerService.delete(ctx, id),
        imageService.delete(ctx, id),
      );
    }
    await Promise.all(calls);
    const seen = new Map<string, string[]>();
    let count = 0;
    for await (const { topic, event } of events) {
      const value = event?.value ?? new Uint8Array();
      // The first field of all of these is the id or the name.
      const id = Buffer.from(value.subarray(2, 2 + (value[1] ?? 0))).toString();
      const label = topic.endsWith("/update") ? ` ${labelsOf(topic, value).get("n")}` : "";
      const key = `${topic.split("/")[1]} ${id}`;
      seen.set(key, [...(seen.get(key) ?? []), `${topic.split("/")[2]}${label}`]);
      if (++count === rounds * 8) break;
    }
    const once = ["create", "update 1", "update 2", "delete"];
    for (const [key, told] of seen) {
      expect([key, ...told]).toEqual([key, ...Array.from({ length: rounds / 5 }, () => once).flat()]);
    }
    expect(seen.size).toBe(10);
  } finally {
    await daemon.stop();
  }
});
