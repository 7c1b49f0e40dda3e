import { describe, expect, it } from "vitest";
import { Container } from "./gen/services/containers/v1/containers.ts";
import { ContentDefinition, WriteAction, WriteContentRequest } from "./gen/services/content/v1/content.ts";
import { LogLevel } from "./gen/runtime/bootstrap/v1/bootstrap.ts";
import { Metrics } from "./gen/cgroups/v1/metrics.ts";
import { Envelope } from "./gen/types/event.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("messages", () => {
  it("encode with the field numbers of the contract", () => {
    const request = WriteContentRequest.create({
      action: WriteAction.COMMIT,
      ref: "r",
      total: 300n,
      expected: "d",
      offset: 1n,
      data: new Uint8Array([9]),
      labels: new Map([["k", "v"]]),
    });
    expect(hex(WriteContentRequest.encode(request).finish())).toBe(
      "0802" + "120172" + "18ac02" + "220164" + "2801" + "320109" + "3a060a016b120176",
    );
  });

  it("JS-int64: keep int64 exact beyond 2^53 and refuse what does not fit", () => {
    const big = 9_007_199_254_740_993n;
    const bytes = WriteContentRequest.encode(WriteContentRequest.create({ total: big })).finish();
    expect(WriteContentRequest.decode(bytes).total).toBe(big);
    expect(() => WriteContentRequest.encode(WriteContentRequest.create({ total: 1n << 63n })).finish()).toThrow(
      /too large/,
    );
  });

  it("JS-prototype: keep labels named like members of Object", () => {
    const labels = new Map([
      ["__proto__", "a"],
      ["constructor", "b"],
    ]);
    const decoded = Container.decode(Container.encode(Container.create({ id: "c", labels })).finish());
    expect([...decoded.labels]).toEqual([...labels]);
    expect(Object.getPrototypeOf(decoded)).toBe(Object.prototype);
  });

  it("read negative enum values and nested messages", () => {
    expect(LogLevel.LOG_LEVEL_TRACE).toBe(-8);
    const envelope = Envelope.create({
      namespace: "n",
      topic: "/a/b",
      timestamp: { seconds: 1n, nanos: 5 },
      event: { typeUrl: "t", value: new Uint8Array([1]) },
    });
    expect(Envelope.decode(Envelope.encode(envelope).finish())).toEqual(envelope);
  });

  it("throw on truncated bytes instead of returning half a message", () => {
    const bytes = Container.encode(Container.create({ id: "container", image: "image" })).finish();
    expect(() => Container.decode(bytes.subarray(0, bytes.length - 2))).toThrow();
  });

  it("ignore fields they do not know", () => {
    expect(Container.decode(new Uint8Array([0x0a, 1, 0x63, 0xfa, 0x07, 1, 0])).id).toBe("c");
  });

  it("read cgroup metrics as a shim writes them", () => {
    expect(Metrics.decode(new Uint8Array([0x12, 2, 0x08, 7])).pids?.current).toBe(7n);
  });
});

describe("service definitions", () => {
  it("carry full names and stream kinds", () => {
    expect(ContentDefinition.fullName).toBe("containerd.services.content.v1.Content");
    expect(ContentDefinition.methods.write).toMatchObject({ name: "Write", requestStream: true, responseStream: true });
    expect(ContentDefinition.methods.read).toMatchObject({ name: "Read", requestStream: false, responseStream: true });
  });
});
