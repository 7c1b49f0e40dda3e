// The stores of records behind their services on a real socket, over the metadata store: what clients see.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { openContentStore } from "@ctrd/content-local";
import type { CallContext } from "@ctrd/core/context";
import { createContext } from "@ctrd/core/context";
import type { MetadataStore } from "@ctrd/core/metadata";
import { openMetadataStore } from "@ctrd/metadata-lmdb";
import type { BoundService, RpcChannel } from "@ctrd/services";
import {
  openChannel,
  proxyContainers,
  proxyImages,
  proxyLeases,
  proxyNamespaces,
  proxySandboxes,
  serveContainers,
  serveImages,
  serveLeases,
  serveNamespaces,
  serveOnSocket,
  serveSandboxes,
} from "@ctrd/services";
import { containerStoreSuite } from "@ctrd/testkit/containers";
import { imageStoreSuite } from "@ctrd/testkit/images";
import { leaseSuite } from "@ctrd/testkit/leases";
import type { OpenedNamespaceStore } from "@ctrd/testkit/namespaces";
import { namespaceSuite } from "@ctrd/testkit/namespaces";
import { sandboxStoreSuite } from "@ctrd/testkit/sandboxes";

const ctx = createContext({ namespace: "testing" });

interface Opened<S> {
  store: S;
  ctx: CallContext;
  metadata: MetadataStore;
  channel: RpcChannel;
  close(): Promise<void>;
}

/** Opens one component of the metadata store in `root` behind its service. */
function overSocket<S>(
  serve: (metadata: MetadataStore) => BoundService[],
  proxy: (channel: RpcChannel) => S,
): (root: string) => Promise<Opened<S>> {
  return async (root) => {
    await mkdir(join(root, "metadata"), { recursive: true });
    const content = await openContentStore(join(root, "content"));
    const metadata = await openMetadataStore({ root: join(root, "metadata"), content });
    const server = await serveOnSocket(join(root, "d.sock"), serve(metadata));
    const channel = openChannel(server.path);
    return {
      store: proxy(channel),
      ctx,
      metadata,
      channel,
      async close() {
        channel.close();
        await server.stop();
        await metadata.close();
        await content.close();
      },
    };
  };
}

const openImages = overSocket(({ images, leases }) => [serveImages(images), serveLeases(leases)], proxyImages);
imageStoreSuite(
  "proxy over metadata",
  async (root) => {
    const opened = await openImages(root);
    return { ...opened, leases: proxyLeases(opened.channel) };
  },
  { leases: true },
);

containerStoreSuite(
  "proxy over metadata",
  overSocket(({ containers }) => [serveContainers(containers)], proxyContainers),
);

leaseSuite(
  "proxy over metadata",
  overSocket(({ leases }) => [serveLeases(leases)], proxyLeases),
);

sandboxStoreSuite(
  "proxy over metadata",
  overSocket(({ sandboxes }) => [serveSandboxes(sandboxes)], proxySandboxes),
);

const openNamespaces = overSocket(({ namespaces }) => [serveNamespaces(namespaces)], proxyNamespaces);
namespaceSuite(
  "proxy over metadata",
  async (root): Promise<OpenedNamespaceStore> => {
    const opened = await openNamespaces(root);
    const { images } = opened.metadata;
    return {
      ...opened,
      async occupy(inside) {
        const digest = `sha256:${"0".repeat(64)}`;
        const target = { mediaType: "application/x", digest, size: 1n, annotations: new Map() };
        const record = { name: "i", labels: new Map(), target, createdAt: undefined, updatedAt: undefined };
        await images.create(inside, record);
        return { called: "images", remove: () => images.delete(inside, "i") };
      },
    };
  },
  { occupy: true },
);
