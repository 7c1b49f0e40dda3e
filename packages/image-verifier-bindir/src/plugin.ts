import { parseGoDuration } from "@ctrd/core/durations";
import type { ImageVerifier } from "@ctrd/core/image-verifier";
import { ImageVerifierPlugin } from "@ctrd/core/image-verifier";
import type { Registration } from "@ctrd/core/plugin";
import type { BinDirConfig } from "./config.ts";
import { binDirConfig } from "./config.ts";
import type { BinDirOptions } from "./verifier.ts";
import { binDirVerifier } from "./verifier.ts";

const bindir: Registration<ImageVerifier, BinDirConfig> = {
  type: ImageVerifierPlugin,
  id: "bindir",
  config: binDirConfig,
  initFn(ic) {
    let verifier = binDirVerifier(optionsOf(ic.config));
    ic.onReload(["bin_dir", "max_verifiers", "per_verifier_timeout"], (config) => {
      verifier = binDirVerifier(optionsOf(config));
    });
    return { verifyImage: (ctx, name, target) => verifier.verifyImage(ctx, name, target) };
  },
};

function optionsOf(config: BinDirConfig): BinDirOptions {
  return {
    directory: config.bin_dir,
    maxVerifiers: config.max_verifiers === -1 ? Infinity : config.max_verifiers,
    timeoutMs: parseGoDuration(config.per_verifier_timeout),
  };
}

export default bindir;
