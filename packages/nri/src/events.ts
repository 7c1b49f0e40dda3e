/**
 * What plugins can ask to be told, and how.
 *
 * @module
 */
import type { PluginDefinition } from "@ctrd/api/nri/v1alpha1/api";
import { Event } from "@ctrd/api/nri/v1alpha1/api";

/** Calls of a plugin that stand for events. */
export type EventCall = Exclude<
  keyof typeof PluginDefinition.methods,
  "configure" | "synchronize" | "shutdown" | "stateChange"
>;

/** The event of each call. */
export const eventOf: Readonly<Record<EventCall, number>> = {
  runPodSandbox: Event.RUN_POD_SANDBOX,
  updatePodSandbox: Event.UPDATE_POD_SANDBOX,
  postUpdatePodSandbox: Event.POST_UPDATE_POD_SANDBOX,
  stopPodSandbox: Event.STOP_POD_SANDBOX,
  removePodSandbox: Event.REMOVE_POD_SANDBOX,
  createContainer: Event.CREATE_CONTAINER,
  postCreateContainer: Event.POST_CREATE_CONTAINER,
  startContainer: Event.START_CONTAINER,
  postStartContainer: Event.POST_START_CONTAINER,
  updateContainer: Event.UPDATE_CONTAINER,
  postUpdateContainer: Event.POST_UPDATE_CONTAINER,
  stopContainer: Event.STOP_CONTAINER,
  removeContainer: Event.REMOVE_CONTAINER,
  validateContainerAdjustment: Event.VALIDATE_CONTAINER_ADJUSTMENT,
};

/** Bit of an event in a plugin's mask. */
export function eventBit(event: number): number {
  return 1 << (event - 1);
}

/** The mask of all events that there are. */
export const allEvents: number = eventBit(Event.LAST) - 1;
