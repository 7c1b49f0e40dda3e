/**
 * Which plugin has set what: two that set the same thing are a conflict.
 *
 * @module
 */
import { Field, OwningPlugins } from "@ctrd/api/nri/v1alpha1/api";
import { failedPrecondition } from "@ctrd/core/errors";

/** Marks a key that a plugin wants to be gone. */
const removalMark = "-";

/** The key that an entry is about, and whether it is to be removed. */
export function keyOf(text: string): { readonly key: string; readonly removed: boolean } {
  const removed = text.startsWith(removalMark);
  return { key: removed ? text.slice(removalMark.length) : text, removed };
}

const fieldNames: ReadonlyMap<number, string> = new Map(Object.entries(Field).map(([name, field]) => [field, name]));

/** Who set which field of which container. */
export class Owners {
  /** By container, field, and key; fields without keys have an empty one. */
  readonly #owners = new Map<string, Map<number, Map<string, string>>>();

  /** @throws ContainerdError `failed-precondition` when another plugin has set it */
  claim(container: string, field: number, key: string, plugin: string): void {
    const keys = this.#keys(container, field);
    const owner = keys.get(key);
    if (owner !== undefined && owner !== plugin) {
      const what = `${fieldNames.get(field) ?? field}${key === "" ? "" : ` "${key}"`}`;
      throw failedPrecondition(`NRI plugins "${owner}" and "${plugin}" both set ${what} of container "${container}"`);
    }
    keys.set(key, plugin);
  }

  /** A plugin removes what was set: whoever sets it next owns it. */
  clear(container: string, field: number, key: string): void {
    this.#keys(container, field).delete(key);
  }

  /** As validators are told. */
  message(): OwningPlugins {
    const owners = [...this.#owners].map(([container, fields]) => {
      const simple = [...fields].flatMap(([field, keys]) => {
        const owner = keys.get("");
        return owner === undefined ? [] : [[field, owner] as const];
      });
      const compound = [...fields].flatMap(([field, keys]) => {
        const named = [...keys].filter(([key]) => key !== "");
        return named.length === 0 ? [] : [[field, { owners: new Map(named) }] as const];
      });
      return [container, { simple: new Map(simple), compound: new Map(compound) }] as const;
    });
    return OwningPlugins.create({ owners: new Map(owners) });
  }

  #keys(container: string, field: number): Map<string, string> {
    const fields = this.#owners.get(container) ?? new Map<number, Map<string, string>>();
    const keys = fields.get(field) ?? new Map<string, string>();
    this.#owners.set(container, fields.set(field, keys));
    return keys;
  }
}
