import { createContext } from "@ctrd/core/context";
import { contentSuite } from "@ctrd/testkit/content";
import { openContentStore } from "./index.ts";

contentSuite(
  "local",
  async (root) => {
    const store = await openContentStore(root);
    return { store, ctx: createContext({ namespace: "testing" }), close: () => store.close() };
  },
  { labels: false },
);
