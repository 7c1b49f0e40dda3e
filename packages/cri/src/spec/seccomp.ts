/** System call filters of requests. */
import { readFile, stat } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { errnoOf, failedPrecondition, invalidArgument, messageOf, notFound } from "@ctrd/core/errors";
import type { Seccomp, SpecOption } from "@ctrd/oci";
import { withDefaultSeccomp, withSeccompProfile } from "@ctrd/oci";
import type { ProfileRequest } from "./security-profile.ts";

const maxProfileBytes = 4 << 20;

/**
 * The filter of a process. It looks at the capabilities that the spec has by then.
 *
 * @param supported whether the kernel has filters
 */
export function withSeccomp(request: ProfileRequest | undefined, supported: boolean): SpecOption {
  if (request === undefined || request.kind === "unconfined") return () => {};
  if (!supported) {
    throw failedPrecondition(
      `seccomp profile "${nameOf(request)}": this kernel has no seccomp filters (use Unconfined)`,
    );
  }
  if (request.kind === "default") return withDefaultSeccomp();
  const { reference } = request;
  return async (context, spec) => withSeccompProfile(await readProfileFile(reference))(context, spec);
}

function nameOf(request: ProfileRequest): string {
  return request.kind === "localhost" ? request.reference : request.kind;
}

/** A profile in the form of the OCI runtime specification. */
async function readProfileFile(path: string): Promise<Seccomp> {
  if (!isAbsolute(path)) throw invalidArgument(`seccomp profile "${path}" is not an absolute path`);
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > maxProfileBytes) throw invalidArgument(`it has ${size} bytes, the limit is ${maxProfileBytes}`);
    text = await readFile(path, "utf8");
  } catch (cause) {
    if (errnoOf(cause) === "ENOENT") throw notFound(`seccomp profile "${path}" on this host`, { cause });
    throw invalidArgument(`seccomp profile "${path}" cannot be read: ${messageOf(cause)}`, { cause });
  }
  try {
    const profile = JSON.parse(text) as Partial<Seccomp> | null;
    if (typeof profile?.defaultAction !== "string") throw invalidArgument("it has no defaultAction");
    return profile as Seccomp;
  } catch (cause) {
    throw invalidArgument(`seccomp profile "${path}" is malformed: ${messageOf(cause)}`, { cause });
  }
}
