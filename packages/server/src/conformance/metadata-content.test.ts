// The local content store behind the metadata store: what clients of the daemon see.
import { join } from "node:path";
import { openContentStore } from "@ctrd/content-local";
import { createContext } from "@ctrd/core/context";
import { openMetadataStore } from "@ctrd/metadata-lmdb";
import { contentSuite } from "@ctrd/testkit/content";

for (const policy of ["shared", "isolated"] as const) {
  contentSuite(
    `metadata over local, ${policy}`,
    async (root) => {
      const backend = await openContentStore(join(root, "content"));
      const metadata = await openMetadataStore({
        root: join(root, "metadata"),
        content: backend,
        sharingPolicy: policy,
      });
      return {
        store: metadata.content,
        ctx: createContext({ namespace: "testing" }),
        async close() {
          await metadata.close();
          await backend.close();
        },
      };
    },
    { labels: true, sharing: policy },
  );
}
