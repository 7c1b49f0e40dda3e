import { AuthConfig } from "@ctrd/api/cri/runtime/v1/api";
import { expect, test } from "vitest";
import type { RegistryConfig } from "../config/images-config.ts";
import { credentialsOf } from "./credentials.ts";
import type { ReadImage } from "./cri-image.ts";
import { imageMessage, splitReferences } from "./cri-image.ts";
import { imageExtras } from "./image-document.ts";
import { ImageStore } from "./image-store.ts";
import { watchPull } from "./pull-watch.ts";

const idOf = (digit: string): string => `sha256:${digit.repeat(64)}`;

function imageOf(id: string, user = ""): ReadImage {
  const config = { env: [], entrypoint: [], cmd: [], workingDir: "", user };
  const extras = { volumes: [], stopSignal: "", labels: new Map<string, string>() };
  return { id, target: idOf("f"), chainId: idOf("e"), size: 7n, config, extras, document: {} };
}

test("an image is found by id, beginning, tag, digest and short name, and goes with its last name", () => {
  const store = new ImageStore();
  const [a, b] = [imageOf(idOf("a")), imageOf(`sha256:ab${"0".repeat(62)}`)];
  const digest = `docker.io/library/busybox@${idOf("f")}`;
  for (const name of [a.id, "docker.io/library/busybox:1", digest]) store.set(name, a, false);
  store.set(b.id, b, true);
  for (const name of ["busybox:1", "docker.io/library/busybox:1", digest, a.id, "aaaa", "sha256:aaaa"]) {
    expect(store.find(name)?.id, name).toBe(a.id);
  }
  expect([store.find("busybox"), store.find("no such name!"), store.find("")]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
  expect(() => store.find("a")).toThrow(/fits 2 images/);
  expect(() => store.get("x:y")).toThrow(/image "x:y": not found/);
  expect(store.find("ab")?.pinned).toBe(true);
  // A tag that moves on leaves the other image its other names.
  store.set("docker.io/library/busybox:1", b, false);
  expect(store.find("busybox:1")?.id).toBe(b.id);
  expect(store.find("aaaa")?.references).toEqual([a.id, digest]);
  store.delete(digest);
  store.delete(a.id);
  expect(store.list().map(({ id }) => id)).toEqual([b.id]);
});

test("the message of an image has its names by kind, and its user as a number or as a name", () => {
  const references = [idOf("a"), "h/a:1", `h/a@${idOf("f")}`, `h/a:2@${idOf("f")}`];
  expect(splitReferences(references)).toEqual({ tags: ["h/a:1"], digests: references.slice(2) });
  const user = (name: string): unknown => {
    const { uid, username } = imageMessage({ ...imageOf(idOf("a"), name), references, pinned: true });
    return uid?.value ?? username;
  };
  expect(["", "1002", "1003:5", "www:www", "9".repeat(30)].map(user)).toEqual([
    0n,
    1002n,
    1003n,
    "www",
    "9".repeat(30),
  ]);
});

test("volumes, stop signal and labels are read; what is of a wrong type is not", () => {
  const read = imageExtras({ config: { Volumes: { "/a": {} }, StopSignal: "SIGINT", Labels: { a: "b", c: 1 } } });
  expect([read.volumes, read.stopSignal, [...read.labels]]).toEqual([["/a"], "SIGINT", [["a", "b"]]]);
  for (const document of [null, 1, { config: 5 }, { config: { Volumes: [], StopSignal: 9, Labels: "x" } }]) {
    expect(imageExtras(document)).toEqual({ volumes: [], stopSignal: "", labels: new Map() });
  }
});

const none: RegistryConfig = { config_path: "", mirrors: {}, configs: {}, auths: {}, headers: {} };
const empty = { username: "", password: "", auth: "", identitytoken: "" };

test("credentials: user, else token, else base64; only for the host that they are for, else as configured", async () => {
  const ask = (auth: object, host = "r.test:5000", registry = none): Promise<unknown> =>
    credentialsOf(AuthConfig.fromPartial(auth), registry)(host, new AbortController().signal);
  const both = { username: "u", password: "p", identityToken: "t" };
  expect(await ask(both)).toEqual({ username: "u", secret: "p" });
  expect(await ask({ identityToken: "t", auth: "dTpw" })).toEqual({ username: "", secret: "t" });
  expect(await ask({ auth: Buffer.from("u:p:q").toString("base64") })).toEqual({ username: "u", secret: "p:q" });
  expect(await ask({ ...both, serverAddress: "https://r.test:5000/v2/" })).toMatchObject({ username: "u" });
  expect(await ask({ ...both, serverAddress: "other.test" })).toBeUndefined();
  expect(await ask({ ...both, serverAddress: "https://index.docker.io/v1/" }, "registry-1.docker.io")).toMatchObject({
    username: "u",
  });
  expect(await ask({ registryToken: "x" })).toBeUndefined();
  const tls = { insecure_skip_verify: false, ca_file: "", cert_file: "", key_file: "" };
  const configs = { "r.test:5000": { auth: { ...empty, username: "c", password: "d" }, tls } };
  expect(await ask({}, "r.test:5000", { ...none, configs })).toEqual({ username: "c", secret: "d" });
  const auths = { "https://r.test:5000": { ...empty, username: "old" } };
  expect(await ask({}, "r.test:5000", { ...none, auths })).toEqual({ username: "old", secret: "" });
});

test("a pull that gets no bytes for too long is given up; one that unpacks is not", async () => {
  using watch = watchPull("r.test/x:1", 60);
  const descriptor = { stage: "downloading", name: "layer" } as const;
  watch.progress({ ...descriptor, offset: 5n });
  watch.progress({ stage: "complete", name: "layer" });
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(watch.signal.aborted).toBe(false);
  watch.progress({ ...descriptor, offset: 6n });
  await new Promise((resolve) => watch.signal.addEventListener("abort", resolve));
  expect(watch.signal.reason).toMatchObject({
    kind: "deadline-exceeded",
    message: /pull r\.test\/x:1: no bytes for 60ms/,
  });
});
