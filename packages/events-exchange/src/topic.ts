import { invalidArgument } from "@ctrd/core/errors";
import { checkIdentifier } from "@ctrd/core/identifiers";

/**
 * Checks a topic: `/`-separated identifiers with a leading `/`, for example `/tasks/exit`.
 *
 * @throws ContainerdError `invalid-argument`
 */
export function checkTopic(topic: string): void {
  if (topic === "") throw invalidArgument("event topic must not be empty");
  if (!topic.startsWith("/")) throw invalidArgument(`event topic "${topic}" must start with "/"`);
  if (topic === "/") throw invalidArgument(`event topic "${topic}" must have at least one part`);
  for (const part of topic.slice(1).split("/")) checkIdentifier(`part of event topic "${topic}"`, part);
}
