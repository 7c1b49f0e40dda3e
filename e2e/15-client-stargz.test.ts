/** Show 2 of issue 4: labels that a wrapper of handlers adds reach a real remote snapshotter. */
import { text } from "node:stream/consumers";
import { connect } from "@ctrd/client";
import type { Client, Image } from "@ctrd/client";
import type { ImageHandlerWrapper } from "@ctrd/images";
import { isLayerType } from "@ctrd/images";
import { withImageConfig } from "@ctrd/oci";
import { createRegistryResolver, registryHosts } from "@ctrd/registry";
import { busyboxImage, randomBytesOf, startRegistry, type TestRegistry } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, describe, expect } from "vitest";
import { findProgram, sha256, until } from "./support/command.ts";
import { startDaemon, type Daemon } from "./support/daemon.ts";
import { closeDaemon } from "./support/leaks.ts";
import { peerTest, requirePeers, stargzGrpc } from "./support/peers.ts";
import { pushEstargz, Stargz } from "./support/stargz.ts";

const peers = ["ctr-remote", stargzGrpc];
/** Cannot be compressed, and is larger than all else: whether it was fetched can be told by size. */
const big = randomBytesOf("client-big", 8_000_000);

/** Tells the snapshotter where each layer is, as its own client does. */
function withStargzLabels(reference: string): ImageHandlerWrapper {
  const prefix = "containerd.io/snapshot/remote/stargz.";
  return (handler) => async (ctx, descriptor) =>
    (await handler(ctx, descriptor)).map((child) => {
      if (!isLayerType(child.mediaType)) return child;
      const added: [string, string][] = [
        [`${prefix}reference`, reference],
        [`${prefix}digest`, child.digest],
      ];
      return { ...child, annotations: new Map([...child.annotations, ...added]) };
    });
}

describe.each(["ctrd", "containerd"] as const)("client of %s", (kind) => {
  let registry: TestRegistry | undefined;
  let stargz: Stargz | undefined;
  let daemon: Daemon | undefined;
  let reference = "";

  beforeAll(async () => {
    if (!peers.every(findProgram)) return;
    requirePeers(["ctr", "containerd-shim-runc-v2", "runc", "docker-registry", "busybox"]);
    registry = await startRegistry();
    const entries = [
      { path: "lazy/", type: "directory" },
      { path: "lazy/big", data: big },
    ];
    const image = await busyboxImage({ applets: "symlink", layers: [{ entries }] });
    reference = await pushEstargz(registry, `e2e/client-${kind}`, image);
    stargz = new Stargz();
    await stargz.start();
    const config = `[proxy_plugins.stargz]\ntype = "snapshot"\naddress = "${stargz.address}"\n`;
    daemon = await startDaemon(`client-stargz-${kind}`, { kind, config });
  });
  afterAll(async () => {
    if (daemon !== undefined) await closeDaemon(daemon);
    await stargz?.close();
    await registry?.[Symbol.asyncDispose]();
  });

  async function readBig(client: Client, image: Image, id: string): Promise<string> {
    await using container = await client.newContainer(id, {
      image,
      snapshotter: "stargz",
      specOptions: [withImageConfig({ args: ["sha256sum", "/lazy/big"] })],
    });
    await using task = await container.newTask();
    await task.start();
    if (task.stdout === undefined) throw new Error("there is no stdout");
    return await text(task.stdout);
  }

  peerTest("2: a container runs from layers that were never pulled", peers, async () => {
    if (daemon === undefined || stargz === undefined) throw new Error("not started");
    const resolver = createRegistryResolver({ hosts: registryHosts({ defaultScheme: "http" }) });
    await using client = await connect(daemon.address, {
      namespace: daemon.namespace,
      resolver,
      fifoDirectory: `${daemon.dir}/fifo`,
    });
    const imageHandlerWrapper = withStargzLabels(reference);
    const image = await client.pull(reference, { snapshotter: "stargz", imageHandlerWrapper });
    const { config, layers } = await image.manifest();
    const stored = (await Array.fromAsync(client.content.list(client.context(), []))).map(({ digest }) => digest);
    expect(stored.toSorted()).toEqual([image.target.digest, config.digest].toSorted());
    expect(stargz.layers()).toHaveLength(layers.length);
    expect(stargz.fetchedBytes()).toBeLessThan(big.length / 2);
    expect(await readBig(client, image, daemon.id("lazy"))).toBe(`${sha256(big)}  /lazy/big\n`);
    expect(stargz.fetchedBytes()).toBeGreaterThan(big.length);
    await image.delete({ sync: true });
    const snapshotter = stargz;
    await until("no lazily pulled layer is mounted", () => snapshotter.layers().length === 0);
  });
});
