/** Filters of system calls as NRI's messages have them. */
import type { LinuxSeccomp } from "@ctrd/api/nri/v1alpha1/api";
import type { SpecLinux } from "./spec-types.ts";

/** A filter as specs have it. */
export function specSeccomp(policy: LinuxSeccomp): NonNullable<SpecLinux["seccomp"]> {
  const { defaultAction, defaultErrno, architectures, flags, listenerPath, listenerMetadata, syscalls } = policy;
  return {
    defaultAction,
    architectures,
    flags,
    ...(defaultErrno === undefined ? {} : { defaultErrnoRet: defaultErrno.value }),
    ...(listenerPath === "" ? {} : { listenerPath }),
    ...(listenerMetadata === "" ? {} : { listenerMetadata }),
    syscalls: syscalls.map(({ names, action, errnoRet, args }) => ({
      names,
      action,
      ...(errnoRet === undefined ? {} : { errnoRet: errnoRet.value }),
      args: args.map(({ index, value, valueTwo, op }) => ({ index, value, valueTwo, op })),
    })),
  };
}
