import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeDevice, mknod } from "@ctrd/sys";
import type { TempDir } from "@ctrd/testkit/fixtures";
import { tempDir } from "@ctrd/testkit/fixtures";
import { makeContainer, securedSpec } from "../../test/spec-input.ts";

let dir: TempDir;
beforeAll(async () => {
  dir = await tempDir();
});
afterAll(() => dir[Symbol.asyncDispose]());

const nullDevice = { type: "c", major: 1, minor: 3 };

test("devices by path, link and directory, with the permissions asked for", async () => {
  const devices = join(dir.path, "dev");
  mkdirSync(join(devices, "deep"), { recursive: true });
  mknod(join(devices, "null"), 0o020_666, makeDevice(1, 3));
  mknod(join(devices, "deep/zero"), 0o020_600, makeDevice(1, 5));
  symlinkSync("/dev/null", join(dir.path, "link"));
  const { spec } = await makeContainer({
    config: {
      devices: [
        { hostPath: join(dir.path, "link"), containerPath: "/dev/x", permissions: "r" },
        { hostPath: devices, containerPath: "/dev/many" },
        { hostPath: "/dev/full" },
      ],
    },
  });
  expect(spec.linux?.devices).toMatchObject([
    { path: "/dev/x", ...nullDevice },
    { path: "/dev/many/deep/zero", type: "c", major: 1, minor: 5, fileMode: 0o600 },
    { path: "/dev/many/null", ...nullDevice },
    { path: "/dev/full", type: "c", major: 1, minor: 7 },
  ]);
  expect(spec.linux?.resources?.devices?.slice(-4)).toEqual([
    { allow: true, ...nullDevice, access: "r" },
    { allow: true, type: "c", major: 1, minor: 5, access: "rwm" },
    { allow: true, ...nullDevice, access: "rwm" },
    { allow: true, type: "c", major: 1, minor: 7, access: "rwm" },
  ]);
});

test("a device that is missing or none is named", async () => {
  const make = (hostPath: string): Promise<unknown> =>
    makeContainer({ config: { devices: [{ hostPath, containerPath: "/dev/x" }] } });
  await expect(make("/dev/nowhere")).rejects.toThrow('device "/dev/nowhere"');
  await expect(make("/etc/passwd")).rejects.toThrow('"/etc/passwd" is not a device');
});

test("the owner of devices is that of the host, or by configuration the user of the container", async () => {
  const ownerOf = async (fromContext: boolean): Promise<object | undefined> => {
    const spec = await securedSpec(
      { runAsUser: { value: 1000n }, runAsGroup: { value: 0n } },
      {
        config: { devices: [{ hostPath: "/dev/null", containerPath: "/dev/x" }] },
        env: { settings: { device_ownership_from_security_context: fromContext } },
      },
    );
    return spec.linux?.devices?.[0];
  };
  expect(await ownerOf(false)).toMatchObject({ uid: 0, gid: 0 });
  expect(await ownerOf(true)).toMatchObject({ uid: 1000, gid: 0 });
});

test("CDI devices of the field and of annotations, each once", async () => {
  const directory = join(dir.path, "cdi");
  mkdirSync(directory);
  const device = (name: string): object => ({ name, containerEdits: { env: [`${name.toUpperCase()}=1`] } });
  writeFileSync(
    join(directory, "vendor.json"),
    JSON.stringify({
      cdiVersion: "0.6.0",
      kind: "vendor.example/gpu",
      devices: [device("a"), device("b"), device("c")],
      containerEdits: { deviceNodes: [{ path: "/dev/x", hostPath: "/dev/null" }] },
    }),
  );
  const settings = { cdi_spec_dirs: [directory] };
  const { spec } = await makeContainer({
    env: { settings },
    config: {
      CDIDevices: [{ name: "vendor.example/gpu=a" }],
      annotations: new Map([
        ["cdi.k8s.io/plugin", "vendor.example/gpu=a,vendor.example/gpu=b"],
        ["other", "vendor.example/gpu=c"],
      ]),
    },
  });
  expect(spec.process?.env?.slice(-2)).toEqual(["A=1", "B=1"]);
  expect(spec.linux?.devices).toMatchObject([{ path: "/dev/x", ...nullDevice }]);

  const unknown = makeContainer({ env: { settings }, config: { CDIDevices: [{ name: "vendor.example/gpu=z" }] } });
  await expect(unknown).rejects.toThrow('CDI device "vendor.example/gpu=z"');
  const malformed = makeContainer({ env: { settings }, config: { annotations: new Map([["cdi.k8s.io/p", "gpu0"]]) } });
  await expect(malformed).rejects.toThrow('annotation "cdi.k8s.io/p": CDI device "gpu0"');
});

test("without CDI a request for it is refused, and annotations are only text", async () => {
  const settings = { enable_cdi: false };
  const config = { CDIDevices: [{ name: "a/b=c" }] };
  await expect(makeContainer({ env: { settings }, config })).rejects.toThrow(
    "CDI devices (a/b=c) are requested, but CDI is disabled",
  );
  await makeContainer({ env: { settings }, config: { annotations: new Map([["cdi.k8s.io/p", "a/b=c"]]) } });
});
