import { sandboxStoreSuite } from "@ctrd/testkit/sandboxes";
import { openPart } from "../../test/open-store.ts";

sandboxStoreSuite(
  "metadata-lmdb",
  openPart(({ sandboxes }) => sandboxes),
);
