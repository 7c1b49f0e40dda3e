import type { ContentStore } from "@ctrd/core/content";
import { ContentPlugin } from "@ctrd/core/content";
import type { Registration } from "@ctrd/core/plugin";
import { openContentStore } from "./store.ts";

const contentLocal: Registration<ContentStore> = {
  type: ContentPlugin,
  id: "content",
  async initFn(ic) {
    const store = await openContentStore(ic.root, { log: ic.log });
    ic.onClose(() => store.close());
    ic.meta.exports.set("root", ic.root);
    return store;
  },
};

export default contentLocal;
