import { messageOf } from "@ctrd/core/errors";
import { hostPlatform } from "@ctrd/core/platforms";
import type { Platform } from "@ctrd/core/records";
import { parsePlatformText } from "@ctrd/images";
import { checkSocketPath } from "@ctrd/services";
import { findProxyType, knownTypes } from "./types.ts";

/** A `[proxy_plugins.<id>]` table. */
export interface ProxySettings {
  /** `snapshot`, `content`, `diff`, `sandbox`, or the name of the plugin type. */
  readonly type: string;
  /** Absolute path of the peer's unix socket, with or without `unix://`. */
  readonly address: string;
  /** Platform that the plugin serves; empty: the daemon's. */
  readonly platform: string;
  /** Facts for introspection. */
  readonly exports: Readonly<Record<string, string>>;
  /** What the component can do beyond its interface, for example `remap-ids`. */
  readonly capabilities: readonly string[];
}

/** Ids are keys of tables and names of directories. */
const idPattern = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/**
 * What is wrong with a proxy plugin's table.
 *
 * @returns the wrong key (undefined: the id) and a sentence about it; undefined when nothing is
 */
export function checkProxySettings(
  id: string,
  settings: ProxySettings,
): { readonly key: keyof ProxySettings | undefined; readonly message: string } | undefined {
  const { type, address, platform } = settings;
  if (!idPattern.test(id)) {
    return { key: undefined, message: `"${id}" must be a name (letters, digits, ".", "_", "-")` };
  }
  if (findProxyType(type) === undefined) {
    const what = type === "" ? "type must be set" : `unknown type "${type}"`;
    return { key: "type", message: `${what}, known are: ${knownTypes.join(", ")}` };
  }
  const badAddress = problemOfAddress(address);
  if (badAddress !== undefined) return { key: "address", message: badAddress };
  const badPlatform = problemOf(() => platformOf(platform));
  return badPlatform === undefined ? undefined : { key: "platform", message: badPlatform };
}

/** The path of a socket address. */
export function socketPath(address: string): string {
  return address.replace(/^unix:\/\//, "");
}

/** The platform that a text names; the daemon's for none. */
export function platformOf(text: string): Platform {
  return text === "" ? hostPlatform() : parsePlatformText(text, hostPlatform());
}

function problemOfAddress(address: string): string | undefined {
  if (address === "") return "address must be set: the path of the unix socket that the plugin's process listens on";
  if (!socketPath(address).startsWith("/")) {
    return `address "${address}" must be the absolute path of a unix socket, with or without unix://`;
  }
  return problemOf(() => checkSocketPath(socketPath(address)));
}

function problemOf(check: () => unknown): string | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
