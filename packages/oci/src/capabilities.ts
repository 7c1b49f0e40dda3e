/**
 * Capabilities of the process. The inheritable set stays empty (GO-2024-2846).
 *
 * @module
 */
import { readFileSync } from "node:fs";
import { invalidArgument } from "@ctrd/core/errors";
import type { SpecOption } from "./context.ts";
import { processOf } from "./context.ts";
import type { Spec } from "./spec.ts";

/** Every capability in the order of its number, as of Linux 5.9. */
const known: readonly string[] = (
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE " +
  "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN " +
  "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE " +
  "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
  .split(" ")
  .map((name) => `CAP_${name}`);

/** What a container has when nothing else is said. */
export const defaultCapabilities: readonly string[] = (
  "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL " +
  "AUDIT_WRITE"
)
  .split(" ")
  .map((name) => `CAP_${name}`);

/**
 * The capabilities that this process could give away: its bounding set. Inside a container that is less than the kernel
 * knows.
 */
export function availableCapabilities(): string[] {
  const mask = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  const bits = BigInt(`0x${mask}`);
  return known.filter((_name, number) => ((bits >> BigInt(number)) & 1n) === 1n);
}

/** Sets the capabilities to exactly these. Names with or without `CAP_`, in either case; `ALL` is all there are. */
export function withCapabilities(...names: readonly string[]): SpecOption {
  const wanted = expand(names);
  return (_context, spec) => setCapabilities(spec, wanted());
}

/** Adds capabilities; `ALL` adds all there are. */
export function withAddedCapabilities(...names: readonly string[]): SpecOption {
  const added = expand(names);
  return (_context, spec) => changeCapabilities(spec, (before) => [...new Set([...before, ...added()])]);
}

/** Takes capabilities away; `ALL` takes away every one, also one that is not known here. */
export function withDroppedCapabilities(...names: readonly string[]): SpecOption {
  const dropped = expand(names);
  const all = names.some(isAll);
  return (_context, spec) => {
    changeCapabilities(spec, (before) => (all ? [] : before.filter((name) => !dropped().includes(name))));
  };
}

function isAll(name: string): boolean {
  return name.toUpperCase() === "ALL";
}

/** Checks the names at once; what `ALL` means is only looked up when needed. */
function expand(names: readonly string[]): () => string[] {
  const listed = names.filter((name) => !isAll(name)).map(normalize);
  return () => (names.some(isAll) ? [...new Set([...availableCapabilities(), ...listed])] : listed);
}

function normalize(name: string): string {
  const upper = name.toUpperCase();
  const full = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (!known.includes(full)) {
    throw invalidArgument(`capability "${name}" is unknown (use a name of capabilities(7) such as NET_ADMIN, or ALL)`);
  }
  return full;
}

function setCapabilities(spec: Spec, names: readonly string[]): void {
  processOf(spec).capabilities = { bounding: [...names], effective: [...names], permitted: [...names] };
}

function changeCapabilities(spec: Spec, change: (before: readonly string[]) => string[]): void {
  const before = processOf(spec).capabilities ?? {};
  processOf(spec).capabilities = {
    bounding: change(before.bounding ?? []),
    effective: change(before.effective ?? []),
    permitted: change(before.permitted ?? []),
  };
}
