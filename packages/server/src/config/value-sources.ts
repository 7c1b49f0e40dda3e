import type { ConfigDocument } from "./document.ts";
import { originOf } from "./document.ts";
import type { KeyPath } from "./key-path.ts";
import { formatKey, formatKeyPath, valueAt } from "./key-path.ts";
import { documentOf } from "./load.ts";
import type { MergedTables } from "./merge.ts";

/** Where the values of a merged configuration came from. */
export class ValueSources {
  readonly #documents: readonly ConfigDocument[];
  readonly #merged: MergedTables;
  readonly #derived: Map<string, string> = new Map();

  /** @param merged the tables of the documents, in their order */
  constructor(documents: readonly ConfigDocument[], merged: MergedTables) {
    this.#documents = documents;
    this.#merged = merged;
  }

  /** Says where a value comes from that no document has. */
  setDerived(path: KeyPath, description: string): void {
    this.#derived.set(JSON.stringify(path), description);
  }

  /** The last document that has the value, for messages; one without a file when none has. */
  documentOf(path: KeyPath): ConfigDocument {
    return this.#documentsOf(path).at(-1) ?? documentOf({}, "configuration");
  }

  /** `/etc/ctrd/config.toml:12`, `command line`, `default`, `migrated from [grpc] address, FILE:LINE`. */
  async describe(path: KeyPath): Promise<string> {
    const derived = this.#derived.get(JSON.stringify(path));
    if (derived !== undefined) return derived;
    const { locate } = await import("./positions.ts");
    const places = this.#documentsOf(path).map((document) => {
      const origin = originOf(document, path);
      const position = locate(document, origin);
      const place = position === undefined ? document.name : `${document.name}:${position.line}`;
      return origin === path ? place : `migrated from ${formatOrigin(origin)}, ${place}`;
    });
    return places.length === 0 ? "default" : places.join(", ");
  }

  #documentsOf(path: KeyPath): ConfigDocument[] {
    return this.#merged
      .sourcesOf(path)
      .flatMap((index) => this.#documents[index] ?? [])
      .filter(({ table }) => valueAt(table, path) !== undefined);
  }
}

/** `[grpc] address` */
function formatOrigin(origin: KeyPath): string {
  const key = formatKey(String(origin.at(-1)));
  return origin.length === 1 ? key : `[${formatKeyPath(origin.slice(0, -1))}] ${key}`;
}
