export type { DaemonTable } from "./daemon-table.ts";
export { defaultPaths } from "./daemon-table.ts";
export { documentOf, loadDocuments } from "./load.ts";
export { printConfig, printDefaultConfig } from "./print.ts";
export type { ConfigOverrides, DaemonConfig } from "./resolve.ts";
export { resolveConfig } from "./resolve.ts";
