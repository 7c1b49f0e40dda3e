/** AppArmor profiles of requests. */
import { readFile } from "node:fs/promises";
import { failedPrecondition, notFound } from "@ctrd/core/errors";
import type { SpecOption } from "@ctrd/oci";
import { withApparmorProfile } from "@ctrd/oci";
import { defaultProfileName, loadDefaultProfile } from "./apparmor-profile.ts";
import { apparmorProfilesFile } from "./host-features.ts";
import type { ProfileRequest } from "./security-profile.ts";

/** What {@link withApparmor} depends on. */
export interface ApparmorOptions {
  /** Whether the host has it and the configuration does not forbid it. */
  enabled: boolean;
  privileged: boolean;
  /** The kernel's list of profiles, for tests. */
  profilesFile?: string;
}

/**
 * The profile of a process. A host without AppArmor refuses a request for one; without a request the default profile is
 * for every process that is not privileged.
 */
export function withApparmor(request: ProfileRequest | undefined, options: ApparmorOptions): SpecOption {
  const { enabled, privileged, profilesFile = apparmorProfilesFile } = options;
  if (request?.kind === "unconfined") return () => {};
  if (!enabled) {
    if (request === undefined) return () => {};
    const name = request.kind === "localhost" ? request.reference : "runtime default";
    throw failedPrecondition(
      `AppArmor profile "${name}": AppArmor is not enabled on this host (use Unconfined, or a node that has it)`,
    );
  }
  if (request?.kind === "localhost") return withLoadedProfile(request.reference, profilesFile);
  if (privileged) return () => {};
  return async (context, spec) => {
    if (!(await isLoaded(defaultProfileName, profilesFile))) await loadDefaultProfile(context.signal);
    await withApparmorProfile(defaultProfileName)(context, spec);
  };
}

function withLoadedProfile(name: string, profilesFile: string): SpecOption {
  return async (context, spec) => {
    if (!(await isLoaded(name, profilesFile))) {
      throw notFound(`AppArmor profile "${name}" among those that are loaded (load it with apparmor_parser)`);
    }
    await withApparmorProfile(name)(context, spec);
  };
}

/** The list has lines `name (mode)`. */
async function isLoaded(name: string, profilesFile: string): Promise<boolean> {
  const lines = (await readFile(profilesFile, "utf8")).split("\n");
  return lines.some((line) => line.startsWith(`${name} (`));
}
