import { expect, test } from "vitest";
import { specContext } from "../test/context.ts";
import type { ImageConfigOptions, Spec, SpecOption } from "./index.ts";
import { createSpec, defaultSpec, parseImageConfig, withEnv, withImageConfig } from "./index.ts";

const image = { Env: ["PATH=/bin", "A=image"], Entrypoint: ["/init"], Cmd: ["serve"], WorkingDir: "/app" };

function make(config: object, options?: ImageConfigOptions, ...before: SpecOption[]): Promise<Spec> {
  return createSpec(specContext({ image: config }), ...before, withImageConfig(options));
}

test.each([
  [{}, ["/init", "serve"]],
  [{ args: ["other", "-x"] }, ["/init", "other", "-x"]],
  [{ entrypoint: ["/sh"] }, ["/sh"]],
  [{ entrypoint: [], args: ["ls"] }, ["ls"]],
])("arguments with %j", async (options, expected) => {
  expect((await make(image, options)).process?.args).toEqual(expected);
});

test("environment and directory come from the image, and what was set before stays", async () => {
  const spec = await make(image, {}, withEnv("A=mine", "B=1"));
  expect(spec.process?.env).toEqual(["PATH=/bin", "A=mine", "B=1"]);
  expect(spec.process?.cwd).toBe("/app");
  const bare = await make({ Env: null, Cmd: null, WorkingDir: "srv" });
  expect(bare.process).toMatchObject({ args: [], cwd: "/srv" });
  expect(bare.process?.env).toEqual([expect.stringMatching(/^PATH=\/usr\/local\/sbin:/)]);
});

test("CVE-2021-21334: two containers of one image do not share an environment", async () => {
  const context = specContext({ image });
  const [one, two] = await Promise.all([
    createSpec(context, withImageConfig(), withEnv("SECRET=1")),
    createSpec({ ...context, id: "c2" }, withImageConfig()),
  ]);
  expect(one.process?.env).toContain("SECRET=1");
  expect(two.process?.env).toEqual(["PATH=/bin", "A=image"]);
});

test("CVE-2026-53488: labels and volumes of an image change nothing in the spec", async () => {
  const labels = {
    "containerd.io/restart.loguri": "binary:///bin/sh",
    "io.containerd.image.config.stop-signal": "9",
    "io.kubernetes.cri.rdt-class": "x",
  };
  const plain = await make(image);
  const labelled = await make({ ...image, Labels: labels, Volumes: { "/../../etc": {} }, StopSignal: "SIGQUIT" });
  expect(labelled).toEqual(plain);
  expect(plain).toEqual({ ...defaultSpec("default", "c1"), process: plain.process });
  expect(parseImageConfig(JSON.stringify({ config: { ...image, Labels: labels } }))).not.toHaveProperty("labels");
});

test.each([
  ["[", "not JSON"],
  ["3", "not a JSON object"],
  ['{"config":3}', "not a JSON object"],
  ['{"config":{"Env":"A=1"}}', "Env is not a list of strings"],
  ['{"config":{"Cmd":[1]}}', "Cmd is not a list of strings"],
  ['{"config":{"Entrypoint":["a\\u0000b"]}}', "Entrypoint is not a list of strings without zero bytes"],
  ['{"config":{"User":{}}}', "User is not a string"],
])("malformed image configuration %s", (text, message) => {
  expect(() => parseImageConfig(text)).toThrow(message);
});

test("CVE-2023-25153: an image configuration of any size is not read", () => {
  expect(() => parseImageConfig(Buffer.alloc((4 << 20) + 1, " "))).toThrow("the limit is 4194304: resource exhausted");
});

test("keys of the prototype are not taken from the image", () => {
  expect(parseImageConfig('{"config":{"__proto__":{"User":"root"}}}').user).toBe("");
  expect(parseImageConfig('{"__proto__":{"config":{"User":"app"}}}').user).toBe("");
});

test("a container without an image", async () => {
  await expect(createSpec(specContext(), withImageConfig())).rejects.toThrow("it has no image to take");
});

test("without a root filesystem the user of an image is taken by number only", async () => {
  expect((await make({ User: "5:6" })).process?.user).toEqual({ uid: 5, gid: 6, additionalGids: [6] });
  await expect(make({ User: "app" })).rejects.toThrow("cannot be looked up without a root filesystem");
});
