import { createContext } from "@ctrd/core/context";
import { createMemoryContentStore } from "./memory-store.ts";
import { contentSuite } from "./suite.ts";

contentSuite(
  "memory",
  async () => ({
    store: createMemoryContentStore(),
    ctx: createContext({ namespace: "testing" }),
    close: async () => {},
  }),
  { labels: true },
);
