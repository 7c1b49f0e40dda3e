import { shortReference } from "@ctrd/core/references";
import type { NameKind } from "./completion.ts";
import { nameOf, shortId } from "./containers/labels.ts";
import { configuredNetworks } from "./network/networks.ts";
import { networkSettings } from "./network/settings.ts";
import type { Session } from "./session.ts";

/** Names in the daemon that begin so. */
export async function namesBeginning(session: Session, kind: NameKind, beginning: string): Promise<string[]> {
  const names = await namesOf(session, kind);
  return names.filter((name) => name.startsWith(beginning)).sort();
}

async function namesOf({ ctx, images, containers, namespaces }: Session, kind: NameKind): Promise<string[]> {
  switch (kind) {
    case "image":
      return (await images.list(ctx, [])).flatMap(({ name }) => [...new Set([name, shortReference(name)])]);
    case "container":
      return (await containers.list(ctx, [])).map(({ id, labels }) => nameOf(labels) || shortId(id));
    case "namespace":
      return (await namespaces.list(ctx)).map(({ name }) => name);
    case "network":
      return (await configuredNetworks(networkSettings())).flatMap(({ network }) => network?.name ?? []);
  }
}
