import { createContext } from "@ctrd/core/context";
import { differSuite } from "@ctrd/testkit/diff";
import { openDiffer } from "__name__";

differSuite("__id__", async (root, content) => ({
  differ: await openDiffer({ content, temporary: root }),
  ctx: createContext({ namespace: "testing" }),
  close: async () => {},
}));
