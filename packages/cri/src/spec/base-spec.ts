/** The specs that `base_runtime_spec` of a handler names. */
import { readFile, stat } from "node:fs/promises";
import { invalidArgument, messageOf } from "@ctrd/core/errors";
import type { Spec } from "@ctrd/oci";
import { decodeSpec } from "@ctrd/oci";

/** Specs by the path of their file. Each is read once: a change counts from the next start of the daemon, as in containerd. */
export class BaseSpecs {
  readonly #specs = new Map<string, Promise<Spec>>();

  /**
   * The spec in a file. It must not be changed.
   *
   * @throws ContainerdError `invalid-argument` when it cannot be read or is no spec; asking again reads it again
   */
  async get(path: string): Promise<Spec> {
    const known = this.#specs.get(path);
    if (known !== undefined) return known;
    const reading = readSpec(path);
    this.#specs.set(path, reading);
    try {
      return await reading;
    } catch (error) {
      this.#specs.delete(path);
      throw error;
    }
  }
}

/** Larger ones are refused by `decodeSpec`; this one is refused before it is read. */
const maxFileBytes = 16 << 20;

async function readSpec(path: string): Promise<Spec> {
  try {
    const { size } = await stat(path);
    if (size > maxFileBytes) throw invalidArgument(`it has ${size} bytes, the limit is ${maxFileBytes}`);
    const spec = decodeSpec(await readFile(path));
    if (typeof spec.ociVersion !== "string") throw invalidArgument("it has no ociVersion");
    return spec;
  } catch (cause) {
    throw invalidArgument(`base_runtime_spec "${path}" is no OCI spec: ${messageOf(cause)}`, { cause });
  }
}
