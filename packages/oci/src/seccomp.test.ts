import { expect, test } from "vitest";
import { specContext } from "../test/context.ts";
import { schemaErrors, schemaTest } from "../test/schema.ts";
import type { Seccomp } from "./index.ts";
import {
  createSpec,
  defaultCapabilities,
  defaultSeccompProfile,
  withProcessArgs,
  withSeccompProfile,
  withSeccompUnconfined,
} from "./index.ts";

/** Names that a profile allows whatever the arguments. */
function allowed(profile: Seccomp): Set<string> {
  const rules = (profile.syscalls ?? []).filter((rule) => rule.action === "SCMP_ACT_ALLOW" && rule.args === undefined);
  return new Set(rules.flatMap((rule) => rule.names));
}

for (const architecture of ["x64", "arm64", "riscv64"]) {
  schemaTest(`the default profile for ${architecture} fits the official schema`, async () => {
    const profile = defaultSeccompProfile(["CAP_SYS_ADMIN", ...defaultCapabilities], architecture);
    expect(schemaErrors(await createSpec(specContext(), withProcessArgs("sh"), withSeccompProfile(profile)))).toEqual(
      [],
    );
  });
}

test("machines differ in their own calls", () => {
  const [x64, arm64] = ["x64", "arm64"].map((name) => allowed(defaultSeccompProfile([], name)));
  expect([...(x64 ?? [])].filter((name) => !arm64?.has(name))).toEqual(["arch_prctl", "modify_ldt"]);
  expect(arm64?.has("arm_fadvise64_64")).toBe(true);
  expect(defaultSeccompProfile([], "arm64").architectures).toContain("SCMP_ARCH_AARCH64");
  expect(() => defaultSeccompProfile([], "sparc")).toThrow(
    "default seccomp profile for sparc (use one of x64, arm64, riscv64",
  );
});

test("no call is named twice, and what reaches out of a container is not allowed", () => {
  const names = (defaultSeccompProfile([]).syscalls ?? []).filter((rule) => !rule.args).flatMap((rule) => rule.names);
  expect(new Set(names).size).toBe(names.length);
  for (const call of [
    "mount",
    "setns",
    "unshare",
    "bpf",
    "keyctl",
    "add_key",
    "kexec_load",
    "init_module",
    "reboot",
    "open_by_handle_at",
    "io_uring_setup",
    "userfaultfd",
    "perf_event_open",
    "swapon",
  ]) {
    expect(allowed(defaultSeccompProfile(defaultCapabilities)).has(call), call).toBe(false);
  }
});

test("clone may make no namespace and clone3 does not exist, unless for an administrator", () => {
  const rules = (capabilities: string[]): unknown[] =>
    (defaultSeccompProfile(capabilities).syscalls ?? []).filter((rule) =>
      rule.names.some((name) => name.startsWith("clone")),
    );
  expect(rules([])).toEqual([
    { names: ["clone"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, value: 0x7e02_0000, op: "SCMP_CMP_MASKED_EQ" }] },
    { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38 },
  ]);
  expect(rules(["CAP_SYS_ADMIN"])).toEqual([expect.objectContaining({ action: "SCMP_ACT_ALLOW" })]);
});

test("a profile of the caller is copied, and taken away again", async () => {
  const profile: Seccomp = { defaultAction: "SCMP_ACT_ALLOW" };
  const spec = await createSpec(specContext(), withSeccompProfile(profile));
  expect(spec.linux?.seccomp).toEqual(profile);
  expect(spec.linux?.seccomp).not.toBe(profile);
  expect(
    (await createSpec(specContext(), withSeccompProfile(profile), withSeccompUnconfined())).linux,
  ).not.toHaveProperty("seccomp");
  expect(() => withSeccompProfile({ default: "x" } as unknown as Seccomp)).toThrow("has no defaultAction");
});
