/**
 * What spec options are and what they are given.
 *
 * @module
 */
import type { ImageConfig } from "./image-config.ts";
import type { Process, Spec } from "./spec.ts";
import type { LinuxSpec, Resources } from "./spec-linux.ts";

/** The container that a spec is made for. */
export interface SpecContext {
  readonly id: string;
  readonly namespace: string;
  readonly signal: AbortSignal;
  /**
   * Calls `use` with a directory where the container's root filesystem can be read, mounted just for the call or not.
   * Without it, users and groups can only be given by number.
   */
  readonly withRootfs?: <T>(use: (directory: string) => Promise<T>) => Promise<T>;
  /** Reads the configuration of the container's image; see `parseImageConfig`. */
  readonly imageConfig?: () => Promise<ImageConfig>;
}

/** A change to a spec. Options are applied in their order; each sees what those before it did. */
export type SpecOption = (context: SpecContext, spec: Spec) => void | Promise<void>;

/** Joins options into one. */
export function compose(...options: readonly SpecOption[]): SpecOption {
  return (context, spec) => applyOptions(context, spec, options);
}

/** Applies options to a spec, one after the other. */
export async function applyOptions(context: SpecContext, spec: Spec, options: readonly SpecOption[]): Promise<void> {
  for (const option of options) {
    context.signal.throwIfAborted();
    await option(context, spec);
  }
}

/** The spec's process, made when there is none. */
export function processOf(spec: Spec): Process {
  return (spec.process ??= { user: { uid: 0, gid: 0 }, cwd: "/" });
}

/** The spec's Linux part, made when there is none. */
export function linuxOf(spec: Spec): LinuxSpec {
  return (spec.linux ??= {});
}

/** The spec's cgroup limits, made when there are none. */
export function resourcesOf(spec: Spec): Resources {
  return (linuxOf(spec).resources ??= {});
}
