import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Any } from "@ctrd/api/google/protobuf/any";
import { BootstrapParams, BootstrapResult } from "@ctrd/api/runtime/bootstrap/v1/bootstrap";
import { kindOf } from "@ctrd/core/errors";
import { tempDir } from "@ctrd/testkit/fixtures";
import { describe, expect, it } from "vitest";
import { parseEndpoint, socketPath, usualSocketAddress } from "./address.ts";
import { BinaryLookup } from "./binary-lookup.ts";
import { shimBinaryName } from "./binary-name.ts";
import type { StartFacts } from "./bootstrap.ts";
import { encodeBootstrapJson, encodeStartInput, parseStartOutput, startEncodingOf } from "./bootstrap.ts";
import { runtimeConfig, shimManagerConfig } from "./config.ts";
import { StartGates } from "./start-gates.ts";
import { rootGidOf } from "./user-namespace.ts";

const kindThrown = (run: () => unknown): string => {
  try {
    run();
    return "nothing";
  } catch (error) {
    return kindOf(error);
  }
};

describe("binary names", () => {
  it("come from the last two parts", () => {
    expect(shimBinaryName("io.containerd.runc.v2")).toBe("containerd-shim-runc-v2");
    expect(shimBinaryName("wasm.v1")).toBe("containerd-shim-wasm-v1");
    for (const name of ["runc", "", "a/b.c", "./x.y", "a..b", "a."]) {
      expect(kindThrown(() => shimBinaryName(name))).toBe("invalid-argument");
    }
  });

  it("are searched in PATH, then beside the daemon; found again after a move; versions are asked once", async () => {
    await using dir = await tempDir();
    await using other = await tempDir();
    const write = (path: string, text: string): void => {
      writeFileSync(path, text);
      chmodSync(path, 0o755);
    };
    const name = "containerd-shim-x-v9";
    const count = join(dir.path, "count");
    write(join(dir.path, name), `#!/bin/sh\necho asked >> ${count}\necho "  Version:  v2.2.1"\n`);
    const lookup = new BinaryLookup(join(dir.path, "ctrd"), other.path);
    expect(await lookup.path("io.containerd.x.v9")).toBe(join(dir.path, name));
    const programs = await Promise.all(Array.from({ length: 5 }, () => lookup.program("io.containerd.x.v9")));
    expect(programs.map((program) => program.encoding)).toEqual(Array.from({ length: 5 }, () => "options"));
    expect((await lookup.program(join(dir.path, name))).encoding).toBe("options");
    await expect(lookup.path("io.containerd.y.v1")).rejects.toThrow(/containerd-shim-y-v1.*not found/);
    await expect(lookup.path("/no/such/shim")).rejects.toThrow(/\/no\/such\/shim.*not found/);
    const { readFileSync } = await import("node:fs");
    expect(readFileSync(count, "utf8")).toBe("asked\n");
    write(join(other.path, name), "#!/bin/sh\nexit 1\n");
    expect((await new BinaryLookup(join(dir.path, "ctrd"), other.path).program("a.x.v9")).encoding).toBe("params");
  });
});

describe("start encodings", () => {
  const say = (version: string): string => `containerd-shim-runc-v2:\n  Version:  ${version}\n  Revision: x\n`;
  it("are raw options for containerd 1.x to 2.2, BootstrapParams for all else", () => {
    const of = (text: string): string => startEncodingOf("/usr/bin/containerd-shim-runc-v2", text);
    expect([of(say("1.6.20~ds1")), of(say("v1.7.27")), of(say("v2.0.0")), of(say("v2.2.9"))]).toEqual(
      Array.from({ length: 4 }, () => "options"),
    );
    expect([of(say("v2.3.0")), of(say("v3.0.1")), of(say("0.1.0")), of("kata 3.2"), of("")]).toEqual(
      Array.from({ length: 5 }, () => "params"),
    );
    expect(startEncodingOf("/x/containerd-shim-runc-v1", say("v2.3.0"))).toBe("options");
  });

  it("carry what the contract says", () => {
    const options = { typeUrl: "containerd.runc.v1.Options", value: new Uint8Array([1, 2]) };
    const facts: StartFacts = {
      id: "web",
      namespace: "default",
      debug: true,
      daemonVersion: "0.1.0",
      grpcAddress: "/run/a",
      ttrpcAddress: "/run/a.ttrpc",
      daemonBinary: "/bin/ctrd",
      socketDir: "",
      options,
    };
    expect(Any.decode(encodeStartInput("options", facts))).toEqual(options);
    expect(encodeStartInput("options", { ...facts, options: undefined }).length).toBe(0);
    expect(BootstrapParams.decode(encodeStartInput("params", facts))).toEqual({
      instanceId: "web",
      namespace: "default",
      logLevel: -4,
      containerdVersion: "0.1.0",
      containerdTtrpcAddress: "/run/a.ttrpc",
      containerdGrpcAddress: "/run/a",
      containerdBinary: "/bin/ctrd",
      extensions: [{ value: options }],
      socketDir: undefined,
    });
    const other = BootstrapParams.decode(encodeStartInput("params", { ...facts, debug: false, socketDir: "/run/s" }));
    expect(other).toMatchObject({ logLevel: 0, socketDir: "/run/s" });
  });
});

describe("answers of start", () => {
  const address = "unix:///run/containerd/s/0123";
  it("are protobuf, JSON or a bare address", () => {
    const result = BootstrapResult.encode(BootstrapResult.create({ version: 3, address, protocol: "ttrpc" })).finish();
    expect(parseStartOutput(result)).toEqual({ version: 3, address, protocol: "ttrpc" });
    const json = { version: 3, address, protocol: "GRPC" };
    expect(parseStartOutput(Buffer.from(JSON.stringify(json)))).toEqual({ version: 3, address, protocol: "grpc" });
    expect(parseStartOutput(Buffer.from(`${address}\n`))).toEqual({ version: 2, address, protocol: "ttrpc" });
    const back = parseStartOutput(Buffer.from(encodeBootstrapJson({ version: 2, address, protocol: "ttrpc" })));
    expect(back).toEqual({ version: 2, address, protocol: "ttrpc" });
  });

  it("are refused when empty or of a version to come", () => {
    expect(kindThrown(() => parseStartOutput(Buffer.from("\n")))).toBe("invalid-argument");
    expect(kindThrown(() => parseStartOutput(Buffer.from('{"version":4,"address":"unix:///x"}')))).toBe(
      "not-implemented",
    );
    const four = BootstrapResult.encode(BootstrapResult.create({ version: 4, address, protocol: "ttrpc" })).finish();
    expect(kindThrown(() => parseStartOutput(four))).toBe("not-implemented");
  });
});

describe("addresses", () => {
  it("CVE-2020-15257: abstract sockets are refused", () => {
    expect(socketPath("unix:///run/containerd/s/abc")).toBe("/run/containerd/s/abc");
    for (const abstract of ["/containerd-shim/default/x/shim.sock", "@x", "\0x"]) {
      expect(kindThrown(() => socketPath(abstract))).toBe("failed-precondition");
    }
    expect(kindThrown(() => socketPath("vsock://2:1024"))).toBe("not-implemented");
    expect(kindThrown(() => socketPath("unix://relative"))).toBe("invalid-argument");
    expect(kindThrown(() => socketPath(`unix:///${"x".repeat(106)}`))).toBe("invalid-argument");
  });

  it("have a stored form, and a usual one that real shims choose", () => {
    expect(parseEndpoint("ttrpc+unix:///run/x", 3)).toEqual({
      version: 3,
      protocol: "ttrpc",
      address: "unix:///run/x",
    });
    expect(kindThrown(() => parseEndpoint("unix:///run/x", 3))).toBe("invalid-argument");
    // Seen from Debian's shim with -namespace probe -address /tmp/shimprobe/x.sock -id t1-any.
    expect(usualSocketAddress("/run/containerd/s", "/tmp/shimprobe/x.sock", "probe", "t1-any")).toBe(
      "unix:///run/containerd/s/899bf80686690a1b8a90d2eb928ba8b0d1eb85b74010edde2661da6561a1c49f",
    );
  });
});

describe("user namespaces", () => {
  const spec = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
  it("give the host's gid of the container's root", () => {
    const gidMappings = [
      { containerID: 1, hostID: 9, size: 1 },
      { containerID: 0, hostID: 100000, size: 65536 },
    ];
    expect(rootGidOf(spec({ linux: { namespaces: [{ type: "user" }], gidMappings } }))).toBe(100000);
    expect(rootGidOf(spec({ linux: { namespaces: [{ type: "pid" }], gidMappings } }))).toBeUndefined();
    expect(rootGidOf(spec({ linux: { namespaces: [{ type: "user" }] } }))).toBeUndefined();
  });
});

describe("start gates", () => {
  it("let four starts of a shim run at a time, in order, others unhindered", async () => {
    const gates = new StartGates();
    const begun: string[] = [];
    const ends: (() => void)[] = [];
    const start = (name: string) => (): Promise<void> => {
      begun.push(name);
      return new Promise((resolve) => ends.push(resolve));
    };
    const all = ["a", "b", "c", "d", "e", "f"].map((name) => gates.run("x", start(name)));
    void gates.run("y", start("other")).catch(() => {});
    await Promise.resolve();
    expect(begun).toEqual(["a", "b", "c", "d", "other"]);
    ends[0]?.();
    await all[0];
    await expect.poll(() => begun).toEqual(["a", "b", "c", "d", "other", "e"]);
    for (let i = 1; i < 7; i++) {
      await expect.poll(() => ends.length).toBeGreaterThan(i);
      ends[i]?.();
    }
    await Promise.all(all);
    await expect(gates.run("x", () => Promise.reject(new Error("bad")))).rejects.toThrow("bad");
  });
});

describe("configuration", () => {
  it("has containerd's defaults and refuses nonsense", async () => {
    expect(await shimManagerConfig.standard["~standard"].validate({})).toEqual({ value: { env: [], socket_dir: "" } });
    for (const bad of [
      { env: ["novalue"] },
      { socket_dir: "relative" },
      { socket_dir: `/${"x".repeat(42)}` },
      { a: 1 },
    ]) {
      expect(await shimManagerConfig.standard["~standard"].validate(bad)).toHaveProperty("issues");
    }
    const platforms = [expect.stringMatching(/^linux\//)];
    expect(await runtimeConfig.standard["~standard"].validate({})).toEqual({ value: { platforms } });
    expect(runtimeConfig.jsonSchema()).toHaveProperty("properties.platforms");
    expect(shimManagerConfig.jsonSchema()).toHaveProperty("properties.env");
  });
});
