import { invalidArgument } from "@ctrd/core/errors";
import type { AnyRegistration, InitContext } from "@ctrd/core/plugin";
import { openChannel } from "@ctrd/services";
import { guardChannel } from "./guarded-channel.ts";
import { Peer } from "./peer.ts";
import type { ProxySettings } from "./settings.ts";
import { checkProxySettings, platformOf, socketPath } from "./settings.ts";
import type { ProxyType } from "./types.ts";
import { findProxyType } from "./types.ts";

/** How long a daemon that starts waits for a peer, in milliseconds; it goes on without one that is late. */
const startWaitMs = 1_000;

/**
 * The plugin that a `[proxy_plugins.<id>]` table describes.
 *
 * Its peer may come and go: meanwhile calls fail with `unavailable`, and the connection is made again when it is back.
 *
 * @throws ContainerdError `invalid-argument` for settings that {@link checkProxySettings} refuses
 */
export function proxyRegistration(id: string, settings: ProxySettings): AnyRegistration {
  const problem = checkProxySettings(id, settings);
  const proxyType = findProxyType(settings.type);
  if (problem !== undefined || proxyType === undefined) {
    throw invalidArgument(`proxy plugin "${id}": ${problem?.message ?? "unknown type"}`);
  }
  return { type: proxyType.type, id, initFn: (ic) => connect(ic as InitContext, id, settings, proxyType) };
}

/** The plugins of the whole `proxy_plugins` table. @throws as {@link proxyRegistration} */
export function proxyRegistrations(table: Readonly<Record<string, ProxySettings>>): AnyRegistration[] {
  return Object.entries(table).map(([id, settings]) => proxyRegistration(id, settings));
}

async function connect(ic: InitContext, id: string, settings: ProxySettings, proxyType: ProxyType): Promise<unknown> {
  const { meta } = ic;
  for (const [name, value] of Object.entries(settings.exports)) meta.exports.set(name, value);
  meta.exports.set("address", settings.address);
  meta.platforms.push(platformOf(settings.platform));
  meta.capabilities.push(...settings.capabilities);
  const path = socketPath(settings.address);
  const channel = openChannel(path);
  ic.onClose(() => channel.close());
  const peer = new Peer({
    plugin: `${proxyType.type.name}.${id}`,
    table: `[proxy_plugins.${/^[A-Za-z0-9_-]+$/.test(id) ? id : JSON.stringify(id)}]`,
    path,
    log: ic.log,
    changed: (state) => void meta.exports.set("state", state),
  });
  ic.onClose(() => peer.close());
  channel.keepConnected((state) => peer.follow(state));
  await peer.settled(startWaitMs, ic.signal);
  return proxyType.connect(guardChannel(channel, peer), id);
}
