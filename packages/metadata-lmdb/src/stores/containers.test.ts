import { containerStoreSuite } from "@ctrd/testkit/containers";
import { openPart } from "../../test/open-store.ts";

containerStoreSuite(
  "metadata-lmdb",
  openPart(({ containers }) => containers),
);
