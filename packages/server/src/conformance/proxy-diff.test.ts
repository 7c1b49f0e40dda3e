// The differ behind a Diff service on a real socket, over the stores of the daemon: what remote clients see.
import { join } from "node:path";
import { openContentStore } from "@ctrd/content-local";
import { createContext } from "@ctrd/core/context";
import { openWalkingDiffer } from "@ctrd/diff-walking";
import { openMetadataStore } from "@ctrd/metadata-lmdb";
import { openChannel, proxyDiffer, serveDiff, serveOnSocket } from "@ctrd/services";
import { differSuite } from "@ctrd/testkit/diff";

differSuite("proxy over walking and metadata over local", async (root) => {
  const backend = await openContentStore(join(root, "content"));
  const metadata = await openMetadataStore({ root: join(root, "metadata"), content: backend });
  const { content } = metadata;
  const differ = await openWalkingDiffer({ content, temporary: join(root, "tmp"), workers: 2 });
  const server = await serveOnSocket(join(root, "diff.sock"), [serveDiff(differ)]);
  const channel = openChannel(server.path);
  return {
    differ: proxyDiffer(channel),
    content,
    ctx: createContext({ namespace: "testing" }),
    async close() {
      channel.close();
      await server.stop();
      await differ.close();
      await metadata.close();
      await backend.close();
    },
  };
});
