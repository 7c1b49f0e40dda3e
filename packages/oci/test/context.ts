/** Containers to make specs for: a directory as root filesystem, an image configuration as text. */
import { createContext } from "@ctrd/core/context";
import type { ImageConfig, SpecContext } from "../src/index.ts";
import { parseImageConfig } from "../src/index.ts";

/** What {@link specContext} is made from. */
export interface ContextParts {
  id?: string;
  /** Directory of the root filesystem. */
  rootfs?: string;
  /** The `config` of an image configuration. */
  image?: object;
}

/** A context of container `id` (`c1`) in the namespace `default`. */
export function specContext({ id = "c1", rootfs, image }: ContextParts = {}): SpecContext {
  return {
    id,
    namespace: "default",
    signal: createContext().signal,
    ...(rootfs === undefined ? {} : { withRootfs: (use) => use(rootfs) }),
    ...(image === undefined
      ? {}
      : {
          imageConfig: (): Promise<ImageConfig> => Promise.resolve(parseImageConfig(JSON.stringify({ config: image }))),
        }),
  };
}
