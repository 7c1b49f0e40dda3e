/** What containers are kept from, and the rows of past failures that specs answer for. */
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SecurityProfile_ProfileType as ProfileType, SupplementalGroupsPolicy } from "@ctrd/api/cri/runtime/v1/api";
import type { TempDir } from "@ctrd/testkit/fixtures";
import { tempDir } from "@ctrd/testkit/fixtures";
import { availableCapabilities, defaultCapabilities, defaultMaskedPaths } from "@ctrd/oci";
import type { ContainerParts } from "../../test/spec-input.ts";
import { makeContainer, makeSandbox, runcHandler, securedSpec } from "../../test/spec-input.ts";
import { withApparmor } from "./apparmor.ts";
import { profileText } from "./apparmor-profile.ts";

let dir: TempDir;
let rootfs: string;
beforeAll(async () => {
  dir = await tempDir();
  rootfs = join(dir.path, "rootfs");
  mkdirSync(join(rootfs, "etc"), { recursive: true });
  writeFileSync(join(rootfs, "etc/passwd"), "root:x:0:0::/:\napp:x:1000:1001::/:\n4294967296:x:0:0::/:\n");
  writeFileSync(join(rootfs, "etc/group"), "app:x:1001:\nextra:x:3000:app\nmore:x:3001:root,app\n");
});
afterAll(() => dir[Symbol.asyncDispose]());

const privilegedPod: ContainerParts = { pod: { linux: { securityContext: { privileged: true } } } };
const powercap = "/sys/devices/virtual/powercap";

describe("capabilities", () => {
  const capabilitiesOf = async (capabilities: object): Promise<string[] | undefined> =>
    (await securedSpec({ capabilities })).process?.capabilities?.bounding;

  test("added to and dropped from the default, in any case and with or without CAP_", async () => {
    expect(await capabilitiesOf({})).toEqual(defaultCapabilities);
    const changed = await capabilitiesOf({
      addCapabilities: ["net_admin", "CAP_SYS_PTRACE"],
      dropCapabilities: ["Chown"],
    });
    expect(changed).toEqual([
      ...defaultCapabilities.filter((name) => name !== "CAP_CHOWN"),
      "CAP_NET_ADMIN",
      "CAP_SYS_PTRACE",
    ]);
  });

  test("ALL comes first: what is named beside it is taken from all, or added to none", async () => {
    const all = availableCapabilities();
    expect(await capabilitiesOf({ addCapabilities: ["ALL"], dropCapabilities: ["CHOWN"] })).toEqual(
      all.filter((name) => name !== "CAP_CHOWN"),
    );
    expect(await capabilitiesOf({ addCapabilities: ["KILL"], dropCapabilities: ["all"] })).toEqual(["CAP_KILL"]);
    expect(await capabilitiesOf({ addCapabilities: ["ALL"], dropCapabilities: ["ALL"] })).toEqual([]);
  });

  test("an unknown one is refused", async () => {
    await expect(capabilitiesOf({ addCapabilities: ["FLY"] })).rejects.toThrow('capability "FLY"');
  });

  test("GO-2024-2846: the inheritable and ambient sets are empty in every spec", async () => {
    const specs = [
      await makeSandbox(),
      (await makeContainer()).spec,
      await securedSpec({ capabilities: { addCapabilities: ["ALL"], addAmbientCapabilities: ["NET_RAW"] } }),
      await securedSpec({ privileged: true }, privilegedPod),
    ];
    for (const spec of specs) {
      expect(spec.process?.capabilities).not.toHaveProperty("inheritable");
      expect(spec.process?.capabilities).not.toHaveProperty("ambient");
    }
  });
});

describe("user and groups", () => {
  const userOf = async (context: object, image = {}): Promise<object | undefined> =>
    (await securedSpec(context, { rootfs, image: { Cmd: ["sh"], ...image } })).process?.user;

  test("a name before a number, the request before the image, root by default", async () => {
    expect(await userOf({ runAsUser: { value: 1n }, runAsUsername: "app" })).toMatchObject({ uid: 1000, gid: 1001 });
    expect(await userOf({ runAsUser: { value: 7n } }, { User: "app" })).toMatchObject({ uid: 7, gid: 0 });
    expect(await userOf({}, { User: "app:extra" })).toMatchObject({ uid: 1000, gid: 3000 });
    expect(await userOf({})).toEqual({ uid: 0, gid: 0, additionalGids: [0, 3001] });
    expect(await userOf({ runAsUsername: "app", runAsGroup: { value: 5n } })).toMatchObject({ uid: 1000, gid: 5 });
    await expect(userOf({ runAsUsername: "nobody" })).rejects.toThrow('user "nobody"');
  });

  test("CVE-2023-25173: the groups include the primary one; Merge adds those of the image, Strict does not", async () => {
    const asked = { runAsUser: { value: 1000n }, supplementalGroups: [5000n] };
    expect(await userOf(asked)).toEqual({ uid: 1000, gid: 1001, additionalGids: [1001, 3000, 3001, 5000] });
    const strict = { ...asked, supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict };
    expect(await userOf(strict)).toEqual({ uid: 1000, gid: 1001, additionalGids: [1001, 5000] });
    // A group of the request takes the place of the primary one; the groups of the image are those of the user still.
    const grouped = { ...asked, runAsGroup: { value: 9n } };
    expect(await userOf(grouped)).toEqual({ uid: 1000, gid: 9, additionalGids: [9, 3000, 3001, 5000] });
    await expect(userOf({ supplementalGroupsPolicy: 7 })).rejects.toThrow("policy 7");
  });

  test.each([
    ["the user of an image", {}, { User: "4294967296" }],
    ["the user of an image with a group", {}, { User: "4294967296:0" }],
    ["the group of an image", {}, { User: "0:4294967296" }],
    ["a user of 2^31", { runAsUser: { value: 2n ** 31n } }, {}],
    ["a user of 2^32", { runAsUser: { value: 2n ** 32n } }, {}],
    ["a negative user", { runAsUser: { value: -1n } }, {}],
    ["a user by name that is a number", { runAsUsername: "4294967296" }, {}],
    ["a group", { runAsUser: { value: 1n }, runAsGroup: { value: 2n ** 32n } }, {}],
    ["a supplemental group", { supplementalGroups: [2n ** 32n] }, {}],
    ["a negative supplemental group", { supplementalGroups: [-1n] }, {}],
  ])("CVE-2024-40635, CVE-2026-46680: %s out of range is refused, not cut", async (_name, context, image) => {
    await expect(userOf(context, image)).rejects.toThrow(/is not in 0 … 2147483647/);
  });

  test("CVE-2024-40635, CVE-2026-46680: the same for the sandbox", async () => {
    for (const value of [2n ** 32n, 2n ** 31n, -1n]) {
      const config = { linux: { securityContext: { runAsUser: { value } } } };
      await expect(makeSandbox({ config })).rejects.toThrow("is not in 0 … 2147483647");
    }
  });

  test("CVE-2026-47262: a group file of 1 GB in an image is refused without being read", async () => {
    const huge = join(dir.path, "huge");
    mkdirSync(join(huge, "etc"), { recursive: true });
    writeFileSync(join(huge, "etc/passwd"), "app:x:1000:1000::/:\n");
    writeFileSync(join(huge, "etc/group"), "");
    truncateSync(join(huge, "etc/group"), 2 ** 30);
    const before = process.memoryUsage().rss;
    const parts = { rootfs: huge, image: { Cmd: ["sh"] } };
    await expect(securedSpec({ runAsUsername: "app" }, parts)).rejects.toThrow(
      "etc/group of the image: it has 1073741824",
    );
    expect(process.memoryUsage().rss - before).toBeLessThan(64 << 20);
    const strict = { runAsUsername: "app", supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict };
    expect((await securedSpec(strict, parts)).process?.user).toEqual({ uid: 1000, gid: 1000, additionalGids: [1000] });
  });

  test("links of the root filesystem do not lead out of it", async () => {
    const linked = join(dir.path, "linked");
    mkdirSync(join(linked, "etc"), { recursive: true });
    symlinkSync("/etc/passwd", join(linked, "etc/passwd"));
    await expect(securedSpec({ runAsUsername: "root" }, { rootfs: linked })).rejects.toThrow();
  });
});

describe("hidden and read-only files", () => {
  test("those of the request and no others", async () => {
    const spec = await securedSpec({ maskedPaths: ["/proc/kcore"], readonlyPaths: ["/proc/sys"] });
    expect(spec.linux?.readonlyPaths).toEqual(["/proc/sys"]);
    // How Kubernetes asks for an unmasked /proc.
    expect((await securedSpec({})).linux).toMatchObject({ maskedPaths: [], readonlyPaths: [] });
    await expect(securedSpec({ maskedPaths: ["proc"] })).rejects.toThrow("masked path");
  });

  test("the default ones when the configuration has them always", async () => {
    const env = { settings: { disable_proc_mount: true } };
    expect((await securedSpec({}, { env })).linux?.maskedPaths).toEqual(defaultMaskedPaths);
  });

  test("GO-2023-2412: energy meters are masked in sandboxes, and in containers that anything is masked in", async () => {
    expect((await makeSandbox()).linux?.maskedPaths).toContain(powercap);
    expect((await securedSpec({ maskedPaths: ["/proc/kcore"] })).linux?.maskedPaths).toEqual(["/proc/kcore", powercap]);
    expect((await securedSpec({ maskedPaths: [powercap] })).linux?.maskedPaths).toEqual([powercap]);
  });
});

describe("privileged", () => {
  const privileged = {
    privileged: true,
    maskedPaths: ["/proc/kcore"],
    seccomp: { profileType: ProfileType.RuntimeDefault },
  };

  test("everything is allowed, all devices are there", async () => {
    const spec = await securedSpec(privileged, privilegedPod);
    expect(spec.process?.capabilities?.effective).toEqual(availableCapabilities());
    expect(spec.linux).toMatchObject({ maskedPaths: [], readonlyPaths: [] });
    expect(spec.linux?.seccomp).toBeUndefined();
    expect(spec.linux?.resources?.devices).toEqual([{ allow: true, access: "rwm" }]);
    expect(spec.linux?.devices).toContainEqual(expect.objectContaining({ path: "/dev/null" }));
    const writable = spec.mounts?.filter(({ type }) => type === "sysfs" || type === "cgroup");
    expect(writable?.map(({ options }) => options?.at(-1))).toEqual(["rw", "rw"]);
  });

  test("without the devices of the host by configuration, which may allow to make them", async () => {
    const rulesOf = async (all: boolean): Promise<unknown> => {
      const handler = {
        ...runcHandler,
        privileged_without_host_devices: true,
        privileged_without_host_devices_all_devices_allowed: all,
      };
      const spec = await securedSpec(privileged, { ...privilegedPod, handler });
      expect(spec.linux?.devices).toBeUndefined();
      return spec.linux?.resources?.devices?.[0];
    };
    expect(await rulesOf(false)).toEqual({ allow: false, access: "rwm" });
    expect(await rulesOf(true)).toEqual({ allow: true, access: "rwm" });
  });

  test("only in a privileged pod", async () => {
    await expect(securedSpec(privileged)).rejects.toThrow("no privileged container allowed in sandbox");
  });
});

describe("seccomp", () => {
  const filterOf = async (context: object, env = {}): Promise<string | undefined> =>
    (await securedSpec(context, { env })).linux?.seccomp?.defaultAction;

  test("the default, which knows the capabilities, none, and what the configuration says", async () => {
    expect(await filterOf({ seccomp: { profileType: ProfileType.RuntimeDefault } })).toBe("SCMP_ACT_ERRNO");
    expect(await filterOf({ seccomp: { profileType: ProfileType.Unconfined } })).toBeUndefined();
    expect(await filterOf({})).toBeUndefined();
    expect(await filterOf({}, { settings: { unset_seccomp_profile: "runtime/default" } })).toBe("SCMP_ACT_ERRNO");
    const spec = await securedSpec({
      seccomp: { profileType: ProfileType.RuntimeDefault },
      capabilities: { addCapabilities: ["SYS_ADMIN"] },
    });
    expect(spec.linux?.seccomp?.syscalls?.flatMap(({ names }) => names)).toContain("mount");
  });

  test("a profile of the host, by either field", async () => {
    const file = join(dir.path, "log.json");
    writeFileSync(file, '{"defaultAction":"SCMP_ACT_LOG"}');
    expect(await filterOf({ seccomp: { profileType: ProfileType.Localhost, localhostRef: file } })).toBe(
      "SCMP_ACT_LOG",
    );
    expect(await filterOf({ seccomp: { profileType: ProfileType.Localhost, localhostRef: `localhost/${file}` } })).toBe(
      "SCMP_ACT_LOG",
    );
    expect(await filterOf({ seccompProfilePath: `localhost/${file}` })).toBe("SCMP_ACT_LOG");
  });

  test.each([
    ["missing", "/nowhere.json", '"/nowhere.json" on this host'],
    ["relative", "nowhere.json", "not an absolute path"],
    ["without a name", "", "has no name"],
    ["a directory", "/etc", 'seccomp profile "/etc" cannot be read'],
  ])("a profile that is %s is named", async (_name, localhostRef, message) => {
    await expect(filterOf({ seccomp: { profileType: ProfileType.Localhost, localhostRef } })).rejects.toThrow(message);
  });

  test("a malformed request or profile is refused", async () => {
    const file = join(dir.path, "bad.json");
    writeFileSync(file, "[]");
    await expect(filterOf({ seccomp: { profileType: ProfileType.Localhost, localhostRef: file } })).rejects.toThrow(
      "no defaultAction",
    );
    await expect(
      filterOf({ seccomp: { profileType: ProfileType.RuntimeDefault, localhostRef: file } }),
    ).rejects.toThrow("only for the type Localhost");
    await expect(filterOf({ seccompProfilePath: "odd" })).rejects.toThrow('seccomp profile "odd"');
    const env = { host: { seccomp: false } };
    await expect(filterOf({ seccomp: { profileType: ProfileType.RuntimeDefault } }, env)).rejects.toThrow(
      "no seccomp filters",
    );
    expect(await filterOf({ seccomp: { profileType: ProfileType.Unconfined } }, env)).toBeUndefined();
  });
});

describe("AppArmor", () => {
  const localhost = { apparmor: { profileType: ProfileType.Localhost, localhostRef: "k8s-deny" } };

  test("a host without it refuses a request for it by name, and takes the rest", async () => {
    await expect(securedSpec(localhost)).rejects.toThrow('AppArmor profile "k8s-deny": AppArmor is not enabled');
    await expect(securedSpec({ apparmor: { profileType: ProfileType.RuntimeDefault } })).rejects.toThrow(
      '"runtime default"',
    );
    await expect(securedSpec({ apparmorProfile: "localhost/old" })).rejects.toThrow('"old"');
    expect((await securedSpec({ apparmor: { profileType: ProfileType.Unconfined } })).process).not.toHaveProperty(
      "apparmorProfile",
    );
    expect((await securedSpec({})).process).not.toHaveProperty("apparmorProfile");
    const env = { host: { apparmor: true }, settings: { disable_apparmor: true } };
    await expect(securedSpec(localhost, { env })).rejects.toThrow("not enabled");
  });

  test("the profile must be loaded; the default is for all that are not privileged", async () => {
    const profilesFile = join(dir.path, "profiles");
    writeFileSync(profilesFile, "k8s-deny-more (enforce)\nk8s-deny (enforce)\ncri-containerd.apparmor.d (enforce)\n");
    const profileOf = async (
      request: Parameters<typeof withApparmor>[0],
      privileged = false,
    ): Promise<string | undefined> => {
      const spec = await makeSandbox();
      await withApparmor(request, { enabled: true, privileged, profilesFile })(
        { id: "c", namespace: "k8s.io", signal: new AbortController().signal },
        spec,
      );
      return spec.process?.apparmorProfile;
    };
    expect(await profileOf({ kind: "localhost", reference: "k8s-deny" }, true)).toBe("k8s-deny");
    await expect(profileOf({ kind: "localhost", reference: "k8s" })).rejects.toThrow('AppArmor profile "k8s" among');
    expect(await profileOf(undefined)).toBe("cri-containerd.apparmor.d");
    expect(await profileOf({ kind: "default" })).toBe("cri-containerd.apparmor.d");
    expect(await profileOf({ kind: "default" }, true)).toBeUndefined();
    expect(await profileOf({ kind: "unconfined" })).toBeUndefined();
  });

  test("the default profile denies what belongs to the host", () => {
    const text = profileText({ daemonProfile: "ctrd", tunables: true, abstractions: false });
    expect(text).toContain("profile cri-containerd.apparmor.d flags=(attach_disconnected,mediate_deleted) {");
    expect(text).toContain("signal (receive) peer=ctrd,");
    expect(text).toContain("deny mount,");
    // GO-2023-2412
    expect(text).toMatch(/deny \/sys\/.*devices\/virtual\/powercap.* rwklx,/);
  });
});

test("privileges are not gained by default only when the request says so", async () => {
  expect((await securedSpec({ noNewPrivs: true })).process?.noNewPrivileges).toBe(true);
  expect((await securedSpec({})).process?.noNewPrivileges).toBe(false);
});
