import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeDevice, mkfifo, mknod } from "@ctrd/sys";
import { specContext } from "../test/context.ts";
import type { DeviceRequest, Spec } from "./index.ts";
import { createSpec, parseDevice, withDevice } from "./index.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "oci-dev-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

function make(request: DeviceRequest): Promise<Spec> {
  return createSpec(specContext(), withDevice(request));
}

test.each([
  ["/dev/x", { hostPath: "/dev/x" }],
  ["/dev/x:/dev/y", { hostPath: "/dev/x", containerPath: "/dev/y" }],
  ["/dev/x:rw", { hostPath: "/dev/x", permissions: "rw" }],
  ["/dev/x:/dev/y:r", { hostPath: "/dev/x", containerPath: "/dev/y", permissions: "r" }],
])("device %s", (text, expected) => {
  expect(parseDevice(text)).toEqual(expected);
});

test.each(["/dev/x:/dev/y:z", "/dev/x:/dev/y:/dev/z:r", "/dev/x:rr:r"])("malformed device %s", (text) => {
  expect(() => parseDevice(text)).toThrow("is malformed");
});

test("a link is followed and keeps its name in the container", async () => {
  symlinkSync("/dev/zero", join(dir, "link"));
  expect((await make({ hostPath: join(dir, "link") })).linux?.devices).toMatchObject([
    { path: join(dir, "link"), type: "c", major: 1, minor: 5 },
  ]);
});

test("large device numbers", async () => {
  mknod(join(dir, "big"), 0o060600, makeDevice(4095, 1_048_575));
  mknod(join(dir, "middle"), 0o020600, makeDevice(259, 1000));
  expect((await make({ hostPath: dir, containerPath: "/dev/d" })).linux?.devices).toMatchObject([
    { path: "/dev/d/big", type: "b", major: 4095, minor: 1048575 },
    { path: "/dev/d/middle", type: "c", major: 259, minor: 1000 },
  ]);
});

test("a directory gives the devices in it, not what is no device or has its own filesystem in a container", async () => {
  for (const name of ["sub", "pts"]) mkdirSync(join(dir, name));
  for (const name of ["a", "console", "sub/b", "pts/0"]) mknod(join(dir, name), 0o020640, makeDevice(1, 3));
  mkfifo(join(dir, "fifo"), 0o600);
  writeFileSync(join(dir, "file"), "");
  symlinkSync("a", join(dir, "link"));
  const spec = await make({ hostPath: dir, containerPath: "/dev/d", permissions: "rw" });
  expect(spec.linux?.devices).toEqual([
    { path: "/dev/d/a", type: "c", major: 1, minor: 3, fileMode: 0o640, uid: 0, gid: 0 },
    { path: "/dev/d/sub/b", type: "c", major: 1, minor: 3, fileMode: 0o640, uid: 0, gid: 0 },
  ]);
  expect(spec.linux?.resources?.devices?.slice(-2).map((rule) => rule.access)).toEqual(["rw", "rw"]);
});

test("what is missing or no device", async () => {
  await expect(make({ hostPath: join(dir, "none") })).rejects.toThrow('/none": not found');
  await expect(make({ hostPath: "/etc/passwd" })).rejects.toThrow('"/etc/passwd" is not a device');
  expect(() => withDevice({ hostPath: "null" })).toThrow("not an absolute path");
  expect(() => withDevice({ hostPath: "/dev/null", permissions: "x" })).toThrow("not of r, w and m");
});
