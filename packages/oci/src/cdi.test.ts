import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { specContext } from "../test/context.ts";
import { schemaErrors, schemaTest } from "../test/schema.ts";
import type { Spec, SpecOption } from "./index.ts";
import { createSpec, withCdiDevices, withEnv, withProcessArgs, withUserIds } from "./index.ts";

let base: string;
let directories: string[];
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "oci-cdi-"));
  directories = [join(base, "etc"), join(base, "run"), join(base, "none")];
  mkdirSync(join(base, "etc"));
  mkdirSync(join(base, "run"));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const document = {
  cdiVersion: "0.7.0",
  kind: "vendor.example/gpu",
  containerEdits: { env: ["DRIVER=1"], hooks: [{ hookName: "createContainer", path: "/bin/true", args: ["true"] }] },
  devices: [
    {
      name: "0",
      containerEdits: {
        env: ["GPU=0"],
        deviceNodes: [
          { path: "/dev/gpu0", hostPath: "/dev/null" },
          { path: "/dev/gpuctl", type: "c", major: 9, minor: 8, fileMode: 438, permissions: "rw", uid: 4, gid: 5 },
        ],
        mounts: [{ hostPath: "/usr/lib/gpu.so", containerPath: "/usr/lib/gpu.so", options: ["ro", "bind"] }],
        additionalGids: [44, 0, 44],
      },
    },
    { name: "1", containerEdits: { env: ["GPU=1"], intelRdt: { closID: "c" } } },
  ],
};

function write(file: string, content: unknown): void {
  writeFileSync(join(base, file), typeof content === "string" ? content : JSON.stringify(content));
}

function make(names: string[], ...options: SpecOption[]): Promise<Spec> {
  return createSpec(specContext(), withProcessArgs("sh"), ...options, withCdiDevices(names, directories));
}

test("edits of a document are made once, those of each device too", async () => {
  write("etc/gpu.json", document);
  const spec = await make(["vendor.example/gpu=0", "vendor.example/gpu=1", "vendor.example/gpu=1"], withUserIds(7, 8));
  expect(spec.process?.env).toEqual(["DRIVER=1", "GPU=1"]);
  expect(spec.process?.user).toEqual({ uid: 7, gid: 8, additionalGids: [8, 44] });
  expect(spec.hooks).toEqual({ createContainer: [{ path: "/bin/true", args: ["true"], env: [] }] });
  expect(spec.linux?.devices).toEqual([
    { path: "/dev/gpu0", type: "c", major: 1, minor: 3, fileMode: 0o666, uid: 7, gid: 8 },
    { path: "/dev/gpuctl", type: "c", major: 9, minor: 8, fileMode: 0o666, uid: 4, gid: 5 },
  ]);
  expect(spec.linux?.resources?.devices?.slice(-2)).toEqual([
    { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
    { allow: true, type: "c", major: 9, minor: 8, access: "rw" },
  ]);
  expect(spec.mounts?.at(-1)).toEqual({
    destination: "/usr/lib/gpu.so",
    type: "bind",
    source: "/usr/lib/gpu.so",
    options: ["ro", "bind"],
  });
  expect(spec.linux?.intelRdt).toEqual({ closID: "c" });
});

schemaTest("a spec with CDI devices fits the official schema", async () => {
  write("etc/gpu.json", document);
  expect(schemaErrors(await make(["vendor.example/gpu=0", "vendor.example/gpu=1"]))).toEqual([]);
});

test("a later directory wins, and YAML is read too", async () => {
  write("etc/gpu.json", document);
  write(
    "run/gpu.yaml",
    "cdiVersion: 0.5.0\nkind: vendor.example/gpu\ndevices:\n  - name: '0'\n    containerEdits: { env: [FROM=run] }\n",
  );
  expect((await make(["vendor.example/gpu=0"], withEnv("A=1"))).process?.env).toEqual(["A=1", "FROM=run"]);
});

test("a device that two documents of one directory define is refused", async () => {
  write("etc/a.json", document);
  write("etc/b.json", document);
  await expect(make(["vendor.example/gpu=0"])).rejects.toThrow(/is defined twice, by ".*a\.json" and ".*b\.json"/);
});

test.each(["gpu=0", "vendor.example/gpu", "vendor.example/gpu=", "../x=0", "vendor.example/gpu=a/b"])(
  "name %s",
  (name) => {
    expect(() => withCdiDevices([name])).toThrow("is malformed");
  },
);

test("an unknown device", async () => {
  write("etc/gpu.json", document);
  await expect(make(["vendor.example/gpu=9"])).rejects.toThrow('CDI device "vendor.example/gpu=9" in the documents of');
});

test.each([
  ["{", "cannot be parsed"],
  ["[]", "the document is not an object"],
  [{ ...document, cdiVersion: "2.0.0" }, 'cdiVersion "2.0.0" is not 0.x or 1.x'],
  [{ ...document, kind: "gpu" }, 'kind "gpu" is not vendor/class'],
  [{ ...document, devices: {} }, "devices is not a list"],
  [{ ...document, devices: [document.devices[1], document.devices[1]] }, 'device "1" is not there only once'],
  [{ ...document, containerEdits: { env: [1] } }, "env is not a text"],
  [
    { ...document, containerEdits: { deviceNodes: [{ path: "/dev/x", major: -1 }] } },
    "deviceNodes.major is not a whole number",
  ],
  [{ ...document, containerEdits: { hooks: [{ hookName: "never", path: "/x" }] } }, 'CDI hook "never" is none of'],
  [{ ...document, containerEdits: { deviceNodes: [{ path: "dev/x" }] } }, "not an absolute path"],
  [
    { ...document, containerEdits: { deviceNodes: [{ path: "/dev/none-such" }] } },
    'device "/dev/none-such": not found',
  ],
  [
    { ...document, containerEdits: { deviceNodes: [{ path: "/dev/x", type: "z", major: 1, minor: 1 }] } },
    'type "z" is none of',
  ],
])("malformed document %#", async (content, message) => {
  write("etc/gpu.json", content);
  await expect(make(["vendor.example/gpu=1"])).rejects.toThrow(message);
});

test("a YAML document that multiplies itself is refused", async () => {
  const bomb = [
    "a: &a [x,x,x,x,x,x,x,x,x]",
    "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]",
    "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]",
    "d: [*c,*c,*c,*c,*c,*c,*c,*c,*c]",
  ];
  write("etc/gpu.yaml", bomb.join("\n"));
  await expect(make(["vendor.example/gpu=1"])).rejects.toThrow("cannot be parsed: Excessive alias count");
});
