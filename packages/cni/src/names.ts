/**
 * Names that end up in file names and environments of plugins.
 *
 * @module
 */
import { invalidArgument } from "@ctrd/core/errors";

const pattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** @throws ContainerdError `invalid-argument` */
export function checkNetworkName(name: string): void {
  if (!pattern.test(name)) {
    throw invalidArgument(
      `network name ${JSON.stringify(name)}: letters, digits, "_", ".", "-" are allowed, the first a letter or digit`,
    );
  }
}

/** @throws ContainerdError `invalid-argument` */
export function checkContainerId(id: string): void {
  if (!pattern.test(id)) {
    throw invalidArgument(
      `container id ${JSON.stringify(id)}: letters, digits, "_", ".", "-" are allowed, the first a letter or digit`,
    );
  }
}

const maxInterfaceName = 15;

/** Checks a name by the kernel's rules. @throws ContainerdError `invalid-argument` */
export function checkInterfaceName(name: string): void {
  const good = name !== "" && name !== "." && name !== ".." && !/[/:\s\0]/.test(name);
  if (!good || Buffer.byteLength(name) > maxInterfaceName) {
    throw invalidArgument(
      `interface name ${JSON.stringify(name)}: 1 to ${maxInterfaceName} bytes without "/", ":", space`,
    );
  }
}
