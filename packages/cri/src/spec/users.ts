/**
 * Whom processes run as.
 *
 * Ids are checked by the options of `@ctrd/oci`: what is not in 0 … 2^31-1 is refused, never cut (CVE-2024-40635).
 */
import type { Int64Value } from "@ctrd/api/cri/runtime/v1/api";
import { SupplementalGroupsPolicy } from "@ctrd/api/cri/runtime/v1/api";
import { invalidArgument, notImplemented } from "@ctrd/core/errors";
import type { SpecOption } from "@ctrd/oci";
import { compose, withAdditionalGroups, withUser } from "@ctrd/oci";

/** What a security context says about the user, that of a pod or of a container. */
export interface UserRequest {
  runAsUser: Int64Value | undefined;
  runAsGroup: Int64Value | undefined;
  /** Of containers only. */
  runAsUsername?: string;
  supplementalGroups: readonly bigint[];
  supplementalGroupsPolicy: SupplementalGroupsPolicy;
}

/**
 * The user of a sandbox: the one asked for, else that of its image, and the groups asked for. Those of the image's
 * `/etc/group` are never added: nothing else runs in it.
 */
export function withSandboxUser(request: UserRequest | undefined, imageUser: string): SpecOption {
  const user = userText(request) || imageUser;
  return compose(
    ...(user === "" ? [] : [withUser(user, { imageGroups: false })]),
    withSupplementalGroups(request?.supplementalGroups ?? []),
  );
}

/**
 * The user of a container, and its groups: those asked for, and by the policy Merge those that list the user in the
 * image.
 */
export function withContainerUser(request: UserRequest | undefined, imageUser: string): SpecOption {
  const user = userText(request) || imageUser || "0:0";
  return compose(
    withUser(user, { imageGroups: mergesGroups(request?.supplementalGroupsPolicy ?? SupplementalGroupsPolicy.Merge) }),
    withSupplementalGroups(request?.supplementalGroups ?? []),
  );
}

/** `user[:group]`, a name before a number; "" when nothing is asked for. */
function userText(request: UserRequest | undefined): string {
  if (request === undefined) return "";
  const user = request.runAsUsername || String(request.runAsUser?.value ?? "");
  const { runAsGroup } = request;
  if (runAsGroup === undefined) return user;
  if (user === "") throw invalidArgument(`group ${runAsGroup.value} is given without a user (set run_as_user too)`);
  return `${user}:${runAsGroup.value}`;
}

function mergesGroups(policy: SupplementalGroupsPolicy): boolean {
  if (policy === SupplementalGroupsPolicy.Merge) return true;
  if (policy === SupplementalGroupsPolicy.Strict) return false;
  throw notImplemented(`supplemental groups policy ${String(policy)} (Merge and Strict are)`);
}

function withSupplementalGroups(groups: readonly bigint[]): SpecOption {
  return withAdditionalGroups(...groups.map(String));
}
