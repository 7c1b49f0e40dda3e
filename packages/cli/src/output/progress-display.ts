import type { ProgressListener, TransferProgress } from "@ctrd/core/remotes";

/** Shows progress until it is disposed of. */
export interface ProgressDisplay extends Disposable {
  readonly listener: ProgressListener;
}

/** `layer-sha256:0123…` → `layer 0123456789ab`; references stay as they are. */
export function shortName(name: string): string {
  const [, kind, hex] = /^(\w+)-\w+:([0-9a-f]{12})/.exec(name) ?? [];
  return kind === undefined ? name : `${kind} ${hex}`;
}

/** Where content came from, and who was asked in vain before. */
export function servedText({ served }: TransferProgress): string {
  if (served === undefined) return "";
  const failed = served.attempts.map(({ host, error }) => `; ${host}: ${error}`).join("");
  return `from ${served.host}${failed}`;
}
