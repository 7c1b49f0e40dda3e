export type { ChainStep, HoldingChain } from "./graph.ts";
export { ReferenceGraph } from "./graph.ts";
export type { HeldObject, HeldReference, ObjectId, ObjectKind } from "./objects.ts";
export type { ReferenceGraphOptions } from "./read.ts";
export { referenceGraph, snapshotterNames } from "./read.ts";
