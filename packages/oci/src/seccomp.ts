/**
 * System call filters.
 *
 * @module
 */
import { invalidArgument, notImplemented } from "@ctrd/core/errors";
import type { SpecOption } from "./context.ts";
import { linuxOf } from "./context.ts";
import { allowedCalls, callsByArchitecture, callsByCapability } from "./seccomp-calls.ts";
import type { Seccomp, SeccompArgument, SeccompRule } from "./spec-linux.ts";

/** Machines by Node's names: what a process may run as there. */
const architectures: Readonly<Record<string, readonly string[]>> = {
  x64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  arm64: ["SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64"],
  riscv64: ["SCMP_ARCH_RISCV64"],
};

/** Flags of `clone` that make a namespace: mount, cgroup, UTS, IPC, user, PID, network. */
const namespaceFlags = 0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000;

/** Linux, Linux 32-bit, each also as an old kernel version (UNAME26), and the question which it is. */
const personalities = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

const errnoNoSuchCall = 38;

/**
 * The default filter of containerd and Docker: calls that a container needs are allowed, every other fails with EPERM.
 * What a capability is for is allowed with it, so `capabilities` must be the process's bounding set.
 *
 * @param architecture a machine by Node's name (`x64`, `arm64`, `riscv64`); this one when absent
 */
export function defaultSeccompProfile(capabilities: readonly string[], architecture: string = process.arch): Seccomp {
  const names = architectures[architecture];
  if (names === undefined) {
    throw notImplemented(
      `default seccomp profile for ${architecture} (use one of ${Object.keys(architectures).join(", ")}, or a profile of your own)`,
    );
  }
  const held = new Set(capabilities);
  const byCapability = Object.entries(callsByCapability).filter(([capability]) => held.has(capability));
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    architectures: [...names],
    syscalls: [
      allow(allowedCalls),
      ...socketRules(),
      ...personalities.map((value) => allow(["personality"], { index: 0, value, op: "SCMP_CMP_EQ" })),
      allow(callsByArchitecture[architecture] ?? []),
      ...byCapability.map(([, calls]) => allow(calls)),
      ...(held.has("CAP_SYS_ADMIN") ? [] : withoutNamespaces()),
    ].filter((rule) => rule.names.length > 0),
  };
}

/** Sets the default filter for the capabilities that the spec has by now: put it after the options that change them. */
export function withDefaultSeccomp(): SpecOption {
  return (_context, spec) => {
    linuxOf(spec).seccomp = defaultSeccompProfile(spec.process?.capabilities?.bounding ?? []);
  };
}

/** Sets a filter in the form of the runtime specification. */
export function withSeccompProfile(profile: Readonly<Seccomp>): SpecOption {
  if (typeof profile.defaultAction !== "string") {
    throw invalidArgument(
      "seccomp profile has no defaultAction: it is not in the form of the OCI runtime specification",
    );
  }
  return (_context, spec) => {
    linuxOf(spec).seccomp = structuredClone(profile) as Seccomp;
  };
}

/** Takes the filter away. */
export function withSeccompUnconfined(): SpecOption {
  return (_context, spec) => {
    delete linuxOf(spec).seccomp;
  };
}

function allow(names: readonly string[], ...args: readonly SeccompArgument[]): SeccompRule {
  const rule: SeccompRule = { names: [...names], action: "SCMP_ACT_ALLOW" };
  return args.length === 0 ? rule : { ...rule, args: [...args] };
}

/** Every address family but AF_ALG (38) and AF_VSOCK (40), which reach past the network namespace. */
function socketRules(): SeccompRule[] {
  const conditions = [
    [38, "SCMP_CMP_LT"],
    [39, "SCMP_CMP_EQ"],
    [40, "SCMP_CMP_GT"],
  ] as const;
  return conditions.map(([value, op]) => allow(["socket"], { index: 0, value, op }));
}

/**
 * `clone` only without namespace flags. Those of `clone3` are in memory, where a filter cannot look: it is said not to
 * exist, and C libraries fall back to `clone`.
 */
function withoutNamespaces(): SeccompRule[] {
  return [
    allow(["clone"], { index: 0, value: namespaceFlags, op: "SCMP_CMP_MASKED_EQ" }),
    { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: errnoNoSuchCall },
  ];
}
