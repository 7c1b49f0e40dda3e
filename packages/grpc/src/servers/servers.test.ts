import { EventsDefinition } from "@ctrd/api/services/ttrpc/events/v1/events";
import { createContext } from "@ctrd/core/context";
import type { Envelope, EventService } from "@ctrd/core/events";
import { silentLogger } from "@ctrd/core/log";
import { now } from "@ctrd/core/records";
import { fetchVersion, openChannel, serveVersion } from "@ctrd/services";
import { TtrpcClient } from "@ctrd/ttrpc";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdtemp, rm, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { forwardOverTtrpc } from "../grpc-registrations.ts";
import { createCallMetrics } from "../metrics/call-metrics.ts";
import { prometheusText } from "../metrics/prometheus-text.ts";
import { readProcess, writeProcess } from "../metrics/process-metrics.ts";
import { callMetricsConfig, grpcServerConfig } from "./config.ts";
import { grpcServer } from "./grpc-server.ts";
import { metricsServer, parseTcpAddress } from "./metrics-server.ts";
import { ttrpcServer } from "./ttrpc-server.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-servers-"));
});
afterEach(() => rm(directory, { recursive: true }));

const version = serveVersion({ version: "1", revision: "" });

describe("gRPC server", () => {
  it("serves from start to stop, and only once per address", async () => {
    const path = join(directory, "s.sock");
    const server = grpcServer({ path }, [version], {});
    expect(server.address).toBe(path);
    expect(existsSync(path)).toBe(false);
    await server.start();
    using channel = openChannel(path);
    expect((await fetchVersion(channel, createContext())).version).toBe("1");
    await expect(grpcServer({ path }, [version], {}).start()).rejects.toThrow(/in use .*--address/);
    await server.stop(100);
    expect(existsSync(path)).toBe(false);
  });

  it("has containerd's defaults", async () => {
    expect(await grpcServerConfig.standard["~standard"].validate({})).toEqual({
      value: { address: "", uid: 0, gid: 0, max_recv_message_size: 16_777_216, max_send_message_size: 16_777_216 },
    });
    expect(await callMetricsConfig.standard["~standard"].validate({})).toEqual({ value: { grpc_histogram: false } });
  });
});

describe("ttrpc server", () => {
  it("forwards events, and refuses other users", async () => {
    const path = join(directory, "s.sock.ttrpc");
    const forwarded: Envelope[] = [];
    const events = { forward: async (_ctx: unknown, envelope: Envelope) => void forwarded.push(envelope) };
    const refused: unknown[] = [];
    const log = { ...silentLogger, warn: (fields: Record<string, unknown>) => refused.push(fields["reason"]) };
    const server = ttrpcServer({ path }, [forwardOverTtrpc(events as unknown as EventService)], log);
    await server.start();
    expect((await stat(path)).mode & 0o777).toBe(0o660);
    const client = await TtrpcClient.connect(path);
    const envelope = {
      timestamp: now(),
      namespace: "n",
      topic: "/tasks/exit",
      event: { typeUrl: "t", value: Buffer.from("v") },
    };
    await client.call(EventsDefinition, "forward", { envelope });
    expect(forwarded).toMatchObject([{ namespace: "n", topic: "/tasks/exit" }]);
    await expect(client.call(EventsDefinition, "forward", { envelope: undefined })).rejects.toMatchObject({
      kind: "invalid-argument",
    });
    client.close();

    // The mode lets the group in; who is at the other end is what counts.
    await chmod(directory, 0o711);
    const script = `require("net").connect(${JSON.stringify(path)}).on("close", () => process.exit(3)).resume()`;
    const other = promisify(execFile)("setpriv", [
      "--reuid=65534",
      "--regid=0",
      "--clear-groups",
      process.execPath,
      "-e",
      script,
    ]);
    await expect(other).rejects.toMatchObject({ code: 3 });
    expect(refused).toHaveLength(1);
    expect(forwarded).toHaveLength(1);
    await server.stop(100);
  });
});

describe("metrics server", () => {
  const daemon = { version: "1", revision: "r" } as Parameters<typeof writeProcess>[2];

  async function freePort(): Promise<number> {
    const probe = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => probe.once("listening", resolve));
    const { port } = probe.address() as { port: number };
    await new Promise((resolve) => probe.close(resolve));
    return port;
  }

  it("shows calls and the process", async () => {
    const calls = createCallMetrics(true);
    const path = join(directory, "s.sock");
    const grpc = grpcServer({ path }, [version], { observer: calls });
    await grpc.start();
    using channel = openChannel(path);
    await fetchVersion(channel, createContext());
    await fetchVersion(channel, createContext());

    const address = `127.0.0.1:${await freePort()}`;
    const collect = async () => {
      const reading = await readProcess();
      return prometheusText((writer) => (writeProcess(writer, reading, daemon), calls.write(writer)));
    };
    const server = metricsServer(address, collect, silentLogger);
    await server.start();
    const response = await fetch(`http://${address}/v1/metrics`);
    expect(response.headers.get("content-type")).toMatch(/^text\/plain; version=0.0.4/);
    const text = await response.text();
    const labels = 'grpc_service="containerd.services.version.v1.Version",grpc_method="Version",grpc_type="unary"';
    expect(text).toContain(`grpc_server_started_total{${labels}} 2\n`);
    expect(text).toContain(`grpc_server_handled_total{${labels},grpc_code="OK"} 2\n`);
    expect(text).toContain(`grpc_server_handling_seconds_bucket{${labels},le="+Inf"} 2\n`);
    expect(text).toMatch(/^process_resident_memory_bytes \d+$/m);
    expect((await fetch(`http://${address}/`)).status).toBe(404);
    await server.stop(100);
    await grpc.stop(100);
  });

  it("is off without an address", async () => {
    const server = metricsServer("", async () => "", silentLogger);
    await server.start();
    expect(server.address).toBe("");
    await server.stop(0);
  });

  it("reads addresses", () => {
    expect(parseTcpAddress("127.0.0.1:1338")).toEqual({ host: "127.0.0.1", port: 1338 });
    expect(parseTcpAddress(":1338")).toEqual({ host: "::", port: 1338 });
    expect(parseTcpAddress("[::1]:1")).toEqual({ host: "::1", port: 1 });
    for (const wrong of ["1338", "a:b", "h:70000", "::1:5"])
      expect(() => parseTcpAddress(wrong)).toThrow(/<host>:<port>/);
  });

  it("escapes label values", () => {
    const text = prometheusText((writer) => writer.sample("m", { a: 'x"\\\n' }, 1));
    expect(text).toBe('m{a="x\\"\\\\\\n"} 1\n');
  });
});
