// Content stores behind a Content service on a real socket: what remote clients and proxy plugins see.
import { join } from "node:path";
import { openContentStore } from "@ctrd/content-local";
import type { ContentStore } from "@ctrd/core/content";
import { createContext } from "@ctrd/core/context";
import { openMetadataStore } from "@ctrd/metadata-lmdb";
import { openChannel, proxyContentStore, serveContent, serveOnSocket } from "@ctrd/services";
import type { OpenedStore } from "@ctrd/testkit/content";
import { contentSuite } from "@ctrd/testkit/content";

async function overSocket(root: string, store: ContentStore, close: () => Promise<void>): Promise<OpenedStore> {
  const server = await serveOnSocket(join(root, "content.sock"), [serveContent(store)]);
  const channel = openChannel(server.path);
  return {
    store: proxyContentStore(channel),
    ctx: createContext({ namespace: "testing" }),
    async close() {
      channel.close();
      await server.stop();
      await close();
    },
  };
}

contentSuite(
  "proxy over local",
  async (root) => {
    const store = await openContentStore(join(root, "content"));
    return overSocket(root, store, () => store.close());
  },
  { labels: false, partialTruncate: false },
);

contentSuite(
  "proxy over metadata",
  async (root) => {
    const backend = await openContentStore(join(root, "content"));
    const metadata = await openMetadataStore({ root: join(root, "metadata"), content: backend });
    return overSocket(root, metadata.content, async () => {
      await metadata.close();
      await backend.close();
    });
  },
  { labels: true, sharing: "shared", partialTruncate: false },
);
