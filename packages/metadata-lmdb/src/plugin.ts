import { ContentPlugin } from "@ctrd/core/content";
import { EventPlugin } from "@ctrd/core/events";
import { GcPlugin } from "@ctrd/core/gc";
import type { LeaseManager } from "@ctrd/core/leases";
import { LeasePlugin } from "@ctrd/core/leases";
import type { MetadataStore } from "@ctrd/core/metadata";
import { MetadataPlugin } from "@ctrd/core/metadata";
import type { AnyRegistration, Registration } from "@ctrd/core/plugin";
import { optional } from "@ctrd/core/plugin";
import type { SandboxStore } from "@ctrd/core/sandboxes";
import { SandboxStorePlugin } from "@ctrd/core/sandboxes";
import { SnapshotPlugin } from "@ctrd/core/snapshots";
import type { MetadataConfig } from "./config.ts";
import { metadataConfig } from "./config.ts";
import { openMetadataStore } from "./store.ts";
import { withSyncDelete } from "./stores/sync-leases.ts";

const metadata: Registration<MetadataStore, MetadataConfig> = {
  type: MetadataPlugin,
  id: "bolt",
  requires: [ContentPlugin, EventPlugin, optional(SnapshotPlugin)],
  config: metadataConfig,
  async initFn(ic) {
    const store = await openMetadataStore({
      root: ic.root,
      content: ic.get(ContentPlugin),
      snapshotters: ic.getById(SnapshotPlugin),
      events: ic.get(EventPlugin),
      log: ic.log,
      sharingPolicy: ic.config.content_sharing_policy,
      noSync: ic.config.no_sync,
    });
    ic.onClose(() => store.close());
    ic.meta.exports.set("policy", ic.config.content_sharing_policy);
    return store;
  },
};

const leases: Registration<LeaseManager> = {
  type: LeasePlugin,
  id: "manager",
  requires: [MetadataPlugin, GcPlugin],
  initFn: (ic) => withSyncDelete(ic.get(MetadataPlugin).leases, ic.get(GcPlugin)),
};

const sandboxes: Registration<SandboxStore> = {
  type: SandboxStorePlugin,
  id: "local",
  requires: [MetadataPlugin],
  initFn: (ic) => ic.get(MetadataPlugin).sandboxes,
};

const registrations: AnyRegistration[] = [metadata, leases, sandboxes];
export default registrations;
