/** What a plugin can be, and how its kind is called in prompts. */
export const kinds = {
  snapshotter: "snapshotter: root file systems of images and containers",
  content: "content store: blobs by digest",
  differ: "differ: unpacks layers and makes them",
  service: "service: a gRPC service of your own on the daemon's socket",
} as const;

/** A kind; also the name of its template folder. */
export type Kind = keyof typeof kinds;

/** The kinds in the order in which they are offered. */
export const kindNames = Object.keys(kinds) as Kind[];

/** The kind that `text` names. @throws Error that lists the kinds */
export function parseKind(text: string): Kind {
  const kind = kindNames.find((each) => each === text);
  if (kind === undefined) throw new Error(`"${text}" is no kind of plugin: ${kindNames.join(", ")}`);
  return kind;
}
