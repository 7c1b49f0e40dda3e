/** Devices of containers. */
import type { CDIDevice, Device, Int64Value } from "@ctrd/api/cri/runtime/v1/api";
import { failedPrecondition, invalidArgument } from "@ctrd/core/errors";
import type { SpecOption } from "@ctrd/oci";
import { compose, withCdiDevices, withDevice } from "@ctrd/oci";

/** Whom devices belong to in the container; the host's owner where it is absent or 0. */
export interface DeviceOwner {
  uid: Int64Value | undefined;
  gid: Int64Value | undefined;
}

/** Devices of the host by path. */
export function withDevices(devices: readonly Device[], owner: DeviceOwner | undefined): SpecOption {
  const options = devices.map(({ hostPath, containerPath, permissions }) =>
    withDevice({
      hostPath,
      containerPath: containerPath || hostPath,
      permissions: permissions || "rwm",
    }),
  );
  return owner === undefined ? compose(...options) : withOwner(compose(...options), owner);
}

/** Gives the devices that an option adds to an owner. Ids out of range are refused when the user is set. */
function withOwner(added: SpecOption, owner: DeviceOwner): SpecOption {
  const [uid, gid] = [Number(owner.uid?.value ?? 0n), Number(owner.gid?.value ?? 0n)];
  return async (context, spec) => {
    const before = spec.linux?.devices?.length ?? 0;
    await added(context, spec);
    for (const device of spec.linux?.devices?.slice(before) ?? []) {
      if (uid !== 0) device.uid = uid;
      if (gid !== 0) device.gid = gid;
    }
  };
}

const cdiPrefix = "cdi.k8s.io/";

/** What {@link withCdi} needs. */
export interface CdiRequest {
  devices: readonly CDIDevice[];
  /** Annotations of the container: those under `cdi.k8s.io/` list devices too. */
  annotations: ReadonlyMap<string, string>;
  enabled: boolean;
  directories: readonly string[];
}

/** Devices by the names of their vendors (Container Device Interface). */
export function withCdi({ devices, annotations, enabled, directories }: CdiRequest): SpecOption {
  const names = devices.map(({ name }) => name);
  if (!enabled) {
    if (names.length === 0) return () => {};
    throw failedPrecondition(`CDI devices (${names.join(", ")}) are requested, but CDI is disabled (set enable_cdi)`);
  }
  for (const [key, value] of annotations) {
    if (!key.startsWith(cdiPrefix)) continue;
    for (const name of value.split(",")) {
      if (!name.includes("=")) throw invalidArgument(`annotation "${key}": CDI device "${name}" is malformed`);
      names.push(name);
    }
  }
  return names.length === 0 ? () => {} : withCdiDevices([...new Set(names)], directories);
}
