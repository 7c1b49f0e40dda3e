import { createContext } from "@ctrd/core/context";
import { contentSuite } from "@ctrd/testkit/content";
import { openStore } from "__name__";

contentSuite(
  "__id__",
  async (root) => ({ store: await openStore(root), ctx: createContext(), close: async () => {} }),
  { labels: false },
);
