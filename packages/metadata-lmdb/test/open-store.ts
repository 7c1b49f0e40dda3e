/** Opens one store of the metadata store over backends in memory, as the suites of the testkit want it. */
import type { CallContext } from "@ctrd/core/context";
import { createContext } from "@ctrd/core/context";
import type { MetadataStore } from "@ctrd/core/metadata";
import { openMetadataStore } from "../src/store.ts";
import { MemoryContent } from "./memory-content.ts";

/** A store, with the whole that it belongs to. */
export interface OpenedPart<S> {
  store: S;
  metadata: MetadataStore;
  ctx: CallContext;
  close(): Promise<void>;
}

/** Makes an `open` for the store that `choose` takes. */
export function openPart<S>(choose: (metadata: MetadataStore) => S): (root: string) => Promise<OpenedPart<S>> {
  return async (root) => {
    const metadata = await openMetadataStore({ root, content: new MemoryContent() });
    return {
      store: choose(metadata),
      metadata,
      ctx: createContext({ namespace: "testing" }),
      close: () => metadata.close(),
    };
  };
}
