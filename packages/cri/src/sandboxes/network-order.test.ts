import { PodSandboxConfig } from "@ctrd/api/cri/runtime/v1/api";
import { expect, it } from "vitest";
import { runtimeConfig, type HandlerConfig } from "../config/runtime-config.ts";
import { wantsNetworkFirst } from "./network-order.ts";

async function handler(table: Record<string, unknown>): Promise<HandlerConfig> {
  const result = await runtimeConfig.standard["~standard"].validate({ containerd: { runtimes: { one: table } } });
  if (result.issues !== undefined) throw new Error(JSON.stringify(result.issues));
  const made = result.value.containerd.runtimes["one"];
  if (made === undefined) throw new Error("no handler");
  return made;
}

const pod = { config: PodSandboxConfig.create() };

it.each([
  [{}, false],
  [{ options: { BinaryName: "/usr/local/sbin/runc" } }, false],
  [{ options: { BinaryName: "crun" } }, false],
  [{ options: { BinaryName: "/usr/bin/runsc" } }, true],
  [{ runtime_engine: "/usr/bin/runsc" }, true],
  [{ runtime_type: "io.containerd.runsc.v1" }, true],
  [{ runtime_type: "io.containerd.kata.v2" }, true],
  [{ runtime_path: "/opt/my-shim" }, true],
  [{ sandboxer: "shim" }, true],
  [{ base_runtime_spec: "/etc/hooks.json" }, true],
])("a handler of %j wants the network first: %s", async (table, wanted) => {
  expect(wantsNetworkFirst(await handler(table), pod)).toBe(wanted);
});

it("a pod with settings of its kernel wants the network first", async () => {
  const config = PodSandboxConfig.fromPartial({ linux: { sysctls: new Map([["net.ipv4.conf.eth0.rp_filter", "0"]]) } });
  expect(wantsNetworkFirst(await handler({}), { config })).toBe(true);
});
