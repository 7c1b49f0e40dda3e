import { expect, it } from "vitest";
import { otlpConfig, tracingConfig } from "./config.ts";
import { exportSettings, resourceAttributes, samplingSettings, switchedOff } from "./environment.ts";

const nothing = { endpoint: "", protocol: "", insecure: false };
const otel = (name: string) => `OTEL_EXPORTER_OTLP_${name}`;

it("does nothing unless it is told where to send", () => {
  expect(exportSettings(nothing, {})).toBeUndefined();
});

it.each([
  [{ ...nothing, endpoint: "http://c:4318" }, {}, "http://c:4318/v1/traces"],
  [{ ...nothing, endpoint: "http://c/other" }, {}, "http://c/other"],
  [{ ...nothing, endpoint: "c:4318", insecure: true }, {}, "http://c:4318/v1/traces"],
  [{ ...nothing, endpoint: "c:4318" }, {}, "https://c:4318/v1/traces"],
  [{ ...nothing, endpoint: "http://c:4317", protocol: "grpc" }, {}, "http://c:4317/"],
  [nothing, { [otel("ENDPOINT")]: "http://c:4318/base/" }, "http://c:4318/base/v1/traces"],
  [nothing, { [otel("TRACES_ENDPOINT")]: "http://c/x", [otel("ENDPOINT")]: "http://d" }, "http://c/x"],
  [nothing, { [otel("ENDPOINT")]: "c:4317", [otel("PROTOCOL")]: "grpc", [otel("INSECURE")]: "true" }, "http://c:4317/"],
  [{ ...nothing, endpoint: "http://c" }, { [otel("TRACES_ENDPOINT")]: "http://d/x" }, "http://c/v1/traces"],
])("sends by %j and %j to %s", (config, env, url) => {
  expect(exportSettings(config, env)?.url.href).toBe(url);
});

it("takes the rest from the environment", () => {
  const env = {
    [otel("ENDPOINT")]: "https://c",
    [otel("HEADERS")]: "authorization=Bearer%20x, tenant=1=2",
    [otel("TRACES_TIMEOUT")]: "500",
    [otel("COMPRESSION")]: "gzip",
    [otel("CERTIFICATE")]: "/ca.pem",
    OTEL_BSP_MAX_QUEUE_SIZE: "7",
  };
  const settings = exportSettings(nothing, env);
  expect(settings).toMatchObject({ timeoutMs: 500, gzip: true, tls: { ca: "/ca.pem" }, maxQueue: 7, maxBatch: 512 });
  expect({ ...settings?.headers }).toEqual({ authorization: "Bearer x", tenant: "1=2" });
});

it.each([
  [{ ...nothing, endpoint: "http://[" }, {}, "http://["],
  [nothing, { [otel("ENDPOINT")]: "http://c", [otel("PROTOCOL")]: "http/json" }, "http/json"],
  [nothing, { [otel("ENDPOINT")]: "http://c", [otel("TIMEOUT")]: "soon" }, "OTEL_EXPORTER_OTLP_TIMEOUT"],
  [nothing, { [otel("ENDPOINT")]: "http://c", OTEL_TRACES_EXPORTER: "zipkin" }, "OTEL_TRACES_EXPORTER"],
  [nothing, { [otel("ENDPOINT")]: "http://c", [otel("COMPRESSION")]: "br" }, "COMPRESSION"],
])("refuses %j with %j", (config, env, text) => {
  expect(() => exportSettings(config, env)).toThrow(text);
});

it("is switched off by the environment", () => {
  expect(switchedOff({})).toBeUndefined();
  expect(switchedOff({ OTEL_SDK_DISABLED: "true" })).toBe("OTEL_SDK_DISABLED");
  expect(switchedOff({ OTEL_TRACES_EXPORTER: "none" })).toBe("OTEL_TRACES_EXPORTER");
});

it("chooses traces by configuration and environment", () => {
  const config = { service_name: "", sampling_ratio: 0 };
  expect(samplingSettings(config, {})).toEqual({ ratio: 1, byParent: true });
  expect(samplingSettings({ ...config, sampling_ratio: 0.5 }, {})).toEqual({ ratio: 0.5, byParent: true });
  const named = (sampler: string, arg?: string) =>
    samplingSettings(config, { OTEL_TRACES_SAMPLER: sampler, OTEL_TRACES_SAMPLER_ARG: arg });
  expect(named("always_off")).toEqual({ ratio: 0, byParent: false });
  expect(named("parentbased_traceidratio", "0.1")).toEqual({ ratio: 0.1, byParent: true });
  expect(() => named("traceidratio", "2")).toThrow("OTEL_TRACES_SAMPLER_ARG");
  expect(() => named("jaeger_remote")).toThrow("jaeger_remote");
});

it("names the daemon", () => {
  const config = { service_name: "", sampling_ratio: 0 };
  expect(resourceAttributes(config, {})).toEqual({ "service.name": "ctrd" });
  const env = { OTEL_RESOURCE_ATTRIBUTES: "service.name=a,zone=b", OTEL_SERVICE_NAME: "c" };
  expect(resourceAttributes(config, env)).toEqual({ "service.name": "c", zone: "b" });
  expect(resourceAttributes({ ...config, service_name: "d" }, env)["service.name"]).toBe("d");
});

it("has containerd's keys", async () => {
  expect(await otlpConfig.standard["~standard"].validate({})).toEqual({ value: nothing });
  expect(await tracingConfig.standard["~standard"].validate({})).toEqual({
    value: { service_name: "", sampling_ratio: 0 },
  });
});
