/**
 * Nodes of the reference graph, as strings: kind and the parts of the database key.
 */

/** Kinds of nodes. All but `container` and `sandbox` can be collected. */
export type NodeKind = "content" | "snapshot" | "image" | "lease" | "ingest" | "container" | "sandbox";

/** Separates the parts; keys hold none (see `checkKeyPart`). */
const separator = "\0";

/** The node of a record; `key` is its database key: `[ns, …]`. */
export function nodeOf(kind: NodeKind, key: readonly string[]): string {
  return `${kind}${separator}${key.join(separator)}`;
}

/** Takes a node apart. */
export function parseNode(node: string): { kind: NodeKind; key: string[] } {
  const [kind, ...key] = node.split(separator);
  return { kind: kind as NodeKind, key };
}
