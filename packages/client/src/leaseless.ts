/**
 * Services that do not know the client's leases.
 *
 * @module
 */
import type { CallContext } from "@ctrd/core/context";
import { withoutLease } from "@ctrd/core/context";

/**
 * The same service, called without leases: for a store that is not where the leases are, in which it would look for
 * them in vain. What it keeps from collection is then the caller's business.
 *
 * ```ts
 * await using client = await connect(address, { contentStore: ignoreLeases(own.content), diffService });
 * ```
 */
export function ignoreLeases<T extends object>(service: T): T {
  return new Proxy(service, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      return (...args: unknown[]): unknown => {
        const bare = args.map((each) => (isContext(each) ? withoutLease(each) : each));
        const result: unknown = Reflect.apply(member, target, bare);
        return result instanceof Promise ? result.then(ignoredByWriter) : result;
      };
    },
  });
}

/** A writer of content is given a context of its own when it commits. */
function ignoredByWriter(value: unknown): unknown {
  const isWriter = typeof value === "object" && value !== null && "commit" in value;
  return isWriter ? ignoreLeases(value) : value;
}

function isContext(value: unknown): value is CallContext {
  return typeof value === "object" && value !== null && "lease" in value && "signal" in value && "namespace" in value;
}
