/**
 * What the network hook has said, out of what a runtime makes of it.
 *
 * @module
 */

/** What messages of the hook begin with. */
export const hookErrorPrefix = "ctrd network: ";

/** The hook's own words in the message of a runtime; undefined when it was not the hook that failed. */
export function hookErrorIn(message: string): string | undefined {
  const begin = message.indexOf(hookErrorPrefix);
  if (begin < 0) return undefined;
  const [line = ""] = message.slice(begin + hookErrorPrefix.length).split(/\n|\\n/);
  return line.replace(/: unknown$/, "").trim();
}
