import { describe, expect, it } from "vitest";
import {
  AuthConfig,
  ContainerConfig,
  ImageServiceDefinition,
  PodSandboxStateValue,
  RuntimeServiceDefinition,
  Signal,
} from "./gen/cri/runtime/v1/api.ts";
import { Event, PluginDefinition, RegisterPluginRequest, RuntimeDefinition } from "./gen/nri/v1alpha1/api.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("CRI", () => {
  it("names its services as kubelets call them", () => {
    expect(RuntimeServiceDefinition.fullName).toBe("runtime.v1.RuntimeService");
    expect(ImageServiceDefinition.fullName).toBe("runtime.v1.ImageService");
    expect(Object.keys(RuntimeServiceDefinition.methods)).toHaveLength(35);
    expect(RuntimeServiceDefinition.methods.getContainerEvents).toMatchObject({
      name: "GetContainerEvents",
      requestStream: false,
      responseStream: true,
    });
    expect(RuntimeServiceDefinition.methods.runPodSandbox).toMatchObject({ responseStream: false });
  });

  it("encodes with the field numbers of the contract", () => {
    const config = ContainerConfig.create({ image: { image: "i" }, logPath: "l", CDIDevices: [{ name: "d" }] });
    expect(hex(ContainerConfig.encode(config).finish())).toBe("12030a0169" + "5a016c" + "8a01030a0164");
    const auth = AuthConfig.create({ username: "u", identityToken: "t" });
    expect(hex(AuthConfig.encode(auth).finish())).toBe("0a0175" + "2a0174");
    expect(Signal.SIGTERM).toBe(23);
  });

  it("keeps enum values that a newer peer sends", () => {
    const bytes = new Uint8Array([0x08, 99]);
    const decoded = PodSandboxStateValue.decode(bytes);
    expect(decoded.state).toBe(99);
    expect(PodSandboxStateValue.encode(decoded).finish()).toEqual(bytes);
  });
});

describe("NRI", () => {
  it("names its services as plugins call them", () => {
    expect(RuntimeDefinition.fullName).toBe("nri.pkg.api.v1alpha1.Runtime");
    expect(PluginDefinition.fullName).toBe("nri.pkg.api.v1alpha1.Plugin");
    expect(Event.VALIDATE_CONTAINER_ADJUSTMENT).toBe(14);
    const request = RegisterPluginRequest.create({ pluginName: "p", pluginIdx: "10", NRIVersion: "v" });
    expect(hex(RegisterPluginRequest.encode(request).finish())).toBe("0a0170" + "12023130" + "1a0176");
  });
});
