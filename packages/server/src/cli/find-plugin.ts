import { invalidArgument, notFound } from "@ctrd/core/errors";
import { nearest } from "../config/check.ts";
import type { PluginView } from "./plugin-views.ts";

/** `<type>.<id>` of a plugin. */
export function uriOf(view: PluginView): string {
  return `${view.type}.${view.id}`;
}

/**
 * The plugin that a word names: by `<type>.<id>`, or by an id that only one has.
 *
 * @throws ContainerdError `not-found` with the nearest name, `invalid-argument` with all that have the id
 */
export function findPlugin(views: readonly PluginView[], word: string): PluginView {
  const exact = views.find((view) => uriOf(view) === word);
  if (exact !== undefined) return exact;
  const [first, ...others] = views.filter((view) => view.id === word);
  if (first !== undefined && others.length === 0) return first;
  if (first !== undefined) {
    const names = [first, ...others].map(uriOf).join(", ");
    throw invalidArgument(`${others.length + 1} plugins have the id "${word}"; name one of ${names}`);
  }
  const known = word.includes(".") ? views.map(uriOf) : views.map((view) => view.id);
  const suggestion = nearest(word, known);
  const hint = suggestion === undefined ? `list them with "ctrd plugins ls"` : `did you mean "${suggestion}"?`;
  throw notFound(`there is no plugin "${word}", ${hint}`);
}
