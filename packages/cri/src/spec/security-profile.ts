/** Profiles of seccomp and AppArmor as requests name them: by kind, or in the old way by one text. */
import type { SecurityProfile } from "@ctrd/api/cri/runtime/v1/api";
import { SecurityProfile_ProfileType as ProfileType } from "@ctrd/api/cri/runtime/v1/api";
import { invalidArgument } from "@ctrd/core/errors";

/** A profile that a request asks for; absent when it says nothing. */
export type ProfileRequest = { kind: "default" } | { kind: "unconfined" } | { kind: "localhost"; reference: string };

const localhostPrefix = "localhost/";

/**
 * Reads a profile of a request.
 *
 * @param what `seccomp` or `AppArmor`, for errors
 * @param profile the field of today
 * @param oldProfile the deprecated field, or a text of the configuration; "" when there is none
 * @throws ContainerdError `invalid-argument` for what is neither
 */
export function readProfile(
  what: string,
  profile: SecurityProfile | undefined,
  oldProfile: string,
): ProfileRequest | undefined {
  if (profile === undefined) return oldProfile === "" ? undefined : readText(what, oldProfile);
  const { profileType, localhostRef } = profile;
  if (profileType === ProfileType.Localhost) {
    const reference = localhostRef.startsWith(localhostPrefix)
      ? localhostRef.slice(localhostPrefix.length)
      : localhostRef;
    if (reference === "") throw invalidArgument(`${what} profile is on localhost but has no name (set localhost_ref)`);
    return { kind: "localhost", reference };
  }
  if (localhostRef !== "") {
    throw invalidArgument(`${what} profile "${localhostRef}": localhost_ref is only for the type Localhost`);
  }
  if (profileType === ProfileType.RuntimeDefault) return { kind: "default" };
  if (profileType === ProfileType.Unconfined) return { kind: "unconfined" };
  throw invalidArgument(`${what} profile type ${String(profileType)} is unknown`);
}

function readText(what: string, text: string): ProfileRequest {
  if (text === "runtime/default" || text === "docker/default") return { kind: "default" };
  if (text === "unconfined") return { kind: "unconfined" };
  if (text.startsWith(localhostPrefix) && text !== localhostPrefix) {
    return { kind: "localhost", reference: text.slice(localhostPrefix.length) };
  }
  throw invalidArgument(`${what} profile "${text}" is none of runtime/default, unconfined, localhost/<name>`);
}
