/**
 * A CRI server that has nothing but the streaming calls, and crictl as its client.
 *
 * @module
 */
import { ImageServiceDefinition, RuntimeServiceDefinition } from "@ctrd/api/cri/runtime/v1/api";
import { createContext } from "@ctrd/core/context";
import { notImplemented } from "@ctrd/core/errors";
import type { ServiceDefinition, ServiceHandlers } from "@ctrd/services";
import { bindService, serveOnSocket } from "@ctrd/services";
import type { CommandOptions, CommandResult } from "@ctrd/testkit/fixtures";
import { runCommand, tempDir, workspaceRoot } from "@ctrd/testkit/fixtures";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "vitest";
import type { StreamingServer, StreamingServerOptions } from "../src/streaming/index.ts";
import { openStreamingServer } from "../src/streaming/index.ts";
import { LocalRuntime } from "./local-runtime.ts";

/** What `tools/setup-host.sh` builds. */
export const crictlPath: string = join(workspaceRoot, ".host/bin/crictl");

/** A test that needs crictl; without it, skipped by name, in CI failed. */
export function crictlTest(name: string, body: () => Promise<void>, timeoutMs = 60_000): void {
  if (existsSync(crictlPath)) test(name, body, timeoutMs);
  else if (process.env["CI"] === "true") test(name, () => Promise.reject(new Error(`${crictlPath} is missing`)));
  else test.skip(`${name} [skipped: ${crictlPath} is missing (tools/setup-host.sh)]`, body);
}

/** A streaming server over a {@link LocalRuntime}. */
export interface LocalStreaming extends AsyncDisposable {
  readonly server: StreamingServer;
  readonly runtime: LocalRuntime;
}

/** Opens a streaming server on loopback. */
export async function openLocalStreaming(options: Partial<StreamingServerOptions> = {}): Promise<LocalStreaming> {
  const runtime = new LocalRuntime();
  const context = createContext({ namespace: "k8s.io" });
  const server = await openStreamingServer(runtime, { address: "127.0.0.1", port: 0, context, ...options });
  return { server, runtime, [Symbol.asyncDispose]: () => server.close() };
}

/** A CRI socket for crictl. */
export interface StreamingCri extends AsyncDisposable {
  /** What crictl needs to find it. */
  readonly options: readonly string[];
  crictl(args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
}

/** Serves Exec, Attach and PortForward of `server` on a socket. */
export async function serveStreamingCri(server: StreamingServer): Promise<StreamingCri> {
  const directory = await tempDir("cri-");
  const socket = join(directory.path, "cri.sock");
  const endpoint = `unix://${socket}`;
  const services = [
    bindService(RuntimeServiceDefinition, runtimeHandlers(server)),
    bindService(ImageServiceDefinition, imageHandlers()),
  ];
  const served = await serveOnSocket(socket, services);
  const config = join(directory.path, "crictl.yaml");
  await writeFile(config, `runtime-endpoint: ${endpoint}\nimage-endpoint: ${endpoint}\ntimeout: 20\n`);
  const options = ["--config", config];
  return {
    options,
    crictl: (args, commandOptions) => runCommand(crictlPath, [...options, ...args], commandOptions),
    async [Symbol.asyncDispose]() {
      await served.stop();
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** Handlers of which none is there. */
function none<D extends ServiceDefinition>(definition: D): ServiceHandlers<D> {
  const missing = (name: string) => async (): Promise<never> => {
    throw notImplemented(name);
  };
  const names = Object.keys(definition.methods);
  return Object.fromEntries(names.map((name) => [name, missing(name)])) as unknown as ServiceHandlers<D>;
}

function runtimeHandlers(server: StreamingServer): ServiceHandlers<typeof RuntimeServiceDefinition> {
  return {
    ...none(RuntimeServiceDefinition),
    version: async () => ({ version: "0.1.0", runtimeName: "test", runtimeVersion: "1", runtimeApiVersion: "v1" }),
    exec: async (_ctx, request) => ({ url: server.getExec(request) }),
    attach: async (_ctx, request) => ({ url: server.getAttach(request) }),
    portForward: async (_ctx, request) => ({ url: server.getPortForward(request) }),
  };
}

function imageHandlers(): ServiceHandlers<typeof ImageServiceDefinition> {
  return {
    ...none(ImageServiceDefinition),
    // crictl asks for it to learn whether there is an image service.
    imageFsInfo: async () => ({ imageFilesystems: [], containerFilesystems: [] }),
  };
}
