import { codeFromKind, ContainerdError, kindFromCode, messageOf } from "@ctrd/core/errors";

/** An error's message in one line, without the text of its kind, which is meant for API clients. */
export function plainMessage(error: unknown): string {
  const [line = ""] = messageOf(error).split("\n");
  if (!(error instanceof ContainerdError)) return line;
  const kindText = new ContainerdError(kindFromCode(codeFromKind(error.kind)), "").message;
  return line.endsWith(`: ${kindText}`) ? line.slice(0, -kindText.length - 2) : line;
}
