export type { DaemonTable } from "./daemon-table.ts";
export { defaultPaths } from "./daemon-table.ts";
export { configInForce } from "./in-force.ts";
export { configJsonSchema } from "./json-schema.ts";
export { documentOf, loadDocuments, readConfigFile } from "./load.ts";
export { migratedText } from "./migrated-text.ts";
export { printConfig, printDefaultConfig } from "./print.ts";
export type { ConfigOverrides, DaemonConfig } from "./resolve.ts";
export { checkConfig, resolveConfig } from "./resolve.ts";
