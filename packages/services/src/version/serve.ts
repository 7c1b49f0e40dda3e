import { VersionDefinition } from "@ctrd/api/services/version/v1/version";
import type { BoundService } from "../rpc/index.ts";
import { bindService } from "../rpc/index.ts";

/** Version of a daemon. */
export interface VersionInfo {
  readonly version: string;
  /** Source revision; may be empty. */
  readonly revision: string;
}

/** Serves containerd's Version service. */
export function serveVersion(info: VersionInfo): BoundService {
  return bindService(VersionDefinition, {
    version: async () => ({ version: info.version, revision: info.revision }),
  });
}
