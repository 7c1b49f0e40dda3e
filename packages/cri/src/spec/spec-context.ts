/** What the specs of sandboxes and containers share. */
import type { CallContext } from "@ctrd/core/context";
import type { Spec, SpecContext, SpecOption } from "@ctrd/oci";
import type { SpecEnvironment } from "./environment.ts";
import type { LabelledSpec, SpecHandler, WithRootfs } from "./input.ts";

/** Namespace of everything that CRI makes. */
const criNamespace = "k8s.io";

/** The context of a spec's options. */
export function specContext(ctx: CallContext, id: string, withRootfs: WithRootfs | undefined): SpecContext {
  const base = { id, namespace: criNamespace, signal: ctx.signal };
  return withRootfs === undefined ? base : { ...base, withRootfs };
}

/** Kubernetes says itself what limits a process has: those of the daemon, when it says nothing. */
export function withoutDefaultLimits(): SpecOption {
  return (_context, spec) => {
    delete spec.process?.rlimits;
    delete spec.process?.apparmorProfile;
    delete spec.linux?.seccomp;
  };
}

/** Whether the runtime asks systemd for cgroups. */
export function systemdCgroup(handler: SpecHandler): boolean {
  return handler.options["SystemdCgroup"] === true;
}

/** The SELinux label that a process gets: none when it is privileged, another type in a virtual machine. */
export function processLabelOf(
  environment: SpecEnvironment,
  handler: SpecHandler,
  label: string,
  security: { privileged: boolean } | undefined,
): string {
  if (security?.privileged === true) return "";
  return handler.runtime_type.includes("io.containerd.kata") ? environment.selinux.forVirtualMachine(label) : label;
}

/** Makes a spec for a label that was taken, and gives the label back when that fails. */
export async function keptLabel(
  environment: SpecEnvironment,
  processLabel: string,
  make: () => Promise<Spec>,
): Promise<LabelledSpec> {
  try {
    return { spec: await make(), processLabel };
  } catch (error) {
    environment.selinux.release(processLabel);
    throw error;
  }
}
