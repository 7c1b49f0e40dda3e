/**
 * containerd's filter language: which objects a List call returns.
 *
 * ```ts
 * const matches = compileFilters(['name==alpine,labels."com.example/tier"~=/^web/', "id!=x"]);
 * const some = images.filter((image) => matches(imageAdaptor(image)));
 * ```
 *
 * Strings are alternatives; the comma-separated selectors of one string must all hold. Regular expressions have RE2
 * syntax and run in linear time, so filters of untrusted clients are safe.
 *
 * @module
 */
export type { FieldAdaptor } from "./matcher.ts";
export { compileFilters, matchesFilter } from "./matcher.ts";
export type { Filter, FilterOperator, FilterSelector } from "./parser.ts";
export { formatFilter, parseFilter } from "./parser.ts";
export {
  containerAdaptor,
  contentAdaptor,
  imageAdaptor,
  ingestAdaptor,
  labelField,
  leaseAdaptor,
  pluginAdaptor,
  sandboxAdaptor,
  snapshotAdaptor,
} from "./adaptors.ts";
