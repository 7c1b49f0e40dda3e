/**
 * What the command line notes on a container, in labels: whoever has the daemon sees it.
 *
 * @module
 */

/** The name that people use. */
export const nameLabel = "ctrd.io/name";
/** Directory with its log and its FIFOs. */
export const directoryLabel = "ctrd.io/directory";
/** Remove it when its process has ended. */
export const autoRemoveLabel = "ctrd.io/auto-remove";
/** Its last exit: `<code> <RFC 3339>`, once its task was deleted. */
export const exitLabel = "ctrd.io/exit";
/** Signal that stops it, from the image or a flag. */
export const stopSignalLabel = "ctrd.io/stop-signal";
/** Seconds before it is killed. */
export const stopTimeoutLabel = "ctrd.io/stop-timeout";
/** Its output is not kept when it is detached. */
export const interactiveLabel = "ctrd.io/stdin";
/** When files of the log are rotated: `<bytes> <files>`. */
export const rotationLabel = "ctrd.io/log-rotation";
/** Names of the networks that it is on, with spaces between. */
export const networksLabel = "ctrd.io/networks";
/** Its published ports, as JSON. */
export const portsLabel = "ctrd.io/ports";

/** Labels that are the command line's own affair. */
export const ownLabelPrefix = "ctrd.io/";
/** nerdctl's label of the name, so that its containers are found as well. */
const nerdctlNameLabel = "nerdctl/name";

/** The name of a container; empty when it has none. */
export function nameOf(labels: ReadonlyMap<string, string>): string {
  return labels.get(nameLabel) ?? labels.get(nerdctlNameLabel) ?? "";
}

/** The id, as it is shown; ids of other clients may be names. */
export function shortId(id: string): string {
  return /^[0-9a-f]{64}$/.test(id) ? id.slice(0, 12) : id;
}
