import { expect, test } from "vitest";
import { imagesConfig } from "./images-config.ts";
import type { RuntimeConfig } from "./runtime-config.ts";
import { runtimeConfig } from "./runtime-config.ts";

async function read(table: unknown): Promise<RuntimeConfig> {
  const result = await runtimeConfig.standard["~standard"].validate(table);
  if (result.issues !== undefined) throw new Error(JSON.stringify(result.issues));
  return result.value;
}

test("an empty table has containerd's defaults, one handler among them", async () => {
  const config = await read({});
  expect(config.containerd.default_runtime_name).toBe("runc");
  expect(config.containerd.runtimes).toMatchObject({
    runc: { runtime_type: "io.containerd.runc.v2", sandboxer: "podsandbox", io_type: "fifo" },
  });
  expect([config.max_container_log_line_size, config.enable_unprivileged_ports]).toEqual([16384, true]);
});

test("handlers of containerd 1.x have their names among the others, unless they name no runtime", async () => {
  const old = { default_runtime: { runtime_type: "io.containerd.x.v1" }, untrusted_workload_runtime: {} };
  const { default_runtime_name: name, runtimes } = (await read({ containerd: old })).containerd;
  expect(name).toBe("default");
  expect(Object.keys(runtimes)).toEqual(["runc", "default"]);
});

test("a duration that is none is refused", async () => {
  await expect(read({ drain_exec_sync_io_timeout: "soon" })).rejects.toThrow(/duration/);
});

test("the pause image can be chosen, and there is one otherwise", async () => {
  const images = async (table: unknown): Promise<unknown> => {
    const result = await imagesConfig.standard["~standard"].validate(table);
    return result.issues === undefined ? result.value.pinned_images : result.issues;
  };
  expect(await images({ pinned_images: { sandbox: "own/pause:1", x: "y" } })).toEqual({
    sandbox: "own/pause:1",
    x: "y",
  });
  expect(await images({})).toEqual({ sandbox: "registry.k8s.io/pause:3.10.2" });
});
