import { ContentDefinition, WriteAction } from "@ctrd/api/services/content/v1/content";
import { KillRequest } from "@ctrd/api/services/tasks/v1/tasks";
import type { CallContext } from "@ctrd/core/context";
import { createContext, withSignal } from "@ctrd/core/context";
import { unavailable } from "@ctrd/core/errors";
import type { Operations } from "@ctrd/core/operations";
import { createOperations, describeOperation, inStage } from "@ctrd/core/operations";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { IncomingHttpHeaders } from "node:http2";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { serveContent } from "../content/serve.ts";
import { proxyTasks } from "../tasks/proxy.ts";
import { serveTasks } from "../tasks/serve.ts";
import type { RpcChannel } from "./index.ts";
import { createRpcServer, openChannel } from "./index.ts";

interface Opened extends AsyncDisposable {
  operations: Operations;
  channel: RpcChannel;
  path: string;
}

/** Serves tasks whose `kill` does what it is told, and a content store that takes nothing. */
async function open(kill: (ctx: CallContext) => Promise<void>): Promise<Opened> {
  const directory = await mkdtemp(join(tmpdir(), "ctrd-operations-"));
  const operations = createOperations();
  const tasks = serveTasks({ kill, wait: kill } as never);
  const writer = async (): Promise<never> => Promise.reject(unavailable("nothing is taken"));
  const content = serveContent({ writer } as never);
  const nameCaller = (socket: number): string => (socket > 0 ? "a test" : "nobody");
  const server = createRpcServer([tasks, content], { operations, nameCaller });
  const path = join(directory, "s.sock");
  await server.listen({ path });
  const channel = openChannel(path);
  return {
    operations,
    channel,
    path,
    async [Symbol.asyncDispose]() {
      channel.close();
      await server.stop(1000);
      await rm(directory, { recursive: true });
    },
  };
}

const request = { containerId: "web", execId: "", signal: 9, all: false };
const ctx = createContext({ namespace: "n" });

test("a call is an operation while it is under way, and says what it is about, for whom, and its stage", async () => {
  const gate = Promise.withResolvers<void>();
  await using opened = await open((call) => inStage(call, "look for the signal", () => gate.promise));
  const killing = proxyTasks(opened.channel).kill(ctx, request);
  const describe = (): string =>
    opened.operations
      .list()
      .map((operation) => describeOperation(operation))
      .join();
  await expect
    .poll(describe)
    .toMatch(/^Tasks\/Kill of container "web" by a test, for \S+ \(stage: look for the signal, for \S+\)$/);
  expect(opened.operations.list()[0]).toMatchObject({ namespace: "n", passive: false });
  gate.resolve();
  await killing;
  expect(opened.operations.list()).toEqual([]);
});

/** Calls Kill with a deadline that the server alone knows. @returns the message of the status */
async function killWithin(path: string, timeout: string): Promise<string> {
  const session = connectHttp2("http://localhost", { createConnection: () => connect(path) });
  try {
    const message = KillRequest.encode(KillRequest.create(request)).finish();
    const frame = Buffer.alloc(5 + message.length);
    frame.writeUInt32BE(message.length, 1);
    frame.set(message, 5);
    const call = session.request({
      ":method": "POST",
      ":path": "/containerd.services.tasks.v1.Tasks/Kill",
      "content-type": "application/grpc",
      "containerd-namespace": "n",
      "grpc-timeout": timeout,
    });
    call.end(frame);
    const [headers] = (await once(call, "response")) as [IncomingHttpHeaders];
    return decodeURI(String(headers["grpc-message"]));
  } finally {
    session.destroy();
  }
}

test("a deadline that passes names the stage", async () => {
  await using opened = await open((call) =>
    inStage(call, "look for the signal", async () => {
      await once(call.signal, "abort");
    }),
  );
  expect(await killWithin(opened.path, "200m")).toMatch(
    /^\/containerd\.services\.tasks\.v1\.Tasks\/Kill \(stage: look for the signal, for \S+\): context deadline exceeded$/,
  );
  await expect.poll(() => opened.operations.list()).toEqual([]);
});

test("a client that has gone is named so, and calls that wait for something are passive", async () => {
  const gate = Promise.withResolvers<void>();
  await using opened = await open(() => gate.promise);
  const leaving = new AbortController();
  const gone = proxyTasks(opened.channel)
    .wait(withSignal(ctx, leaving.signal), { containerId: "web", execId: "" })
    .catch((error: unknown) => error);
  await expect.poll(() => opened.operations.list().length).toBe(1);
  const [operation] = opened.operations.list();
  expect(operation?.passive).toBe(true);
  leaving.abort();
  opened.channel.close();
  await gone;
  await expect.poll(() => operation?.caller).toBe("a client that has gone");
  gate.resolve();
  await expect.poll(() => opened.operations.list()).toEqual([]);
});

test("a call that fails has ended", async () => {
  await using opened = await open(() => Promise.reject(unavailable("no")));
  await expect(proxyTasks(opened.channel).kill(ctx, request)).rejects.toThrow("no");
  const write = opened.channel.client(ContentDefinition).write(ctx);
  await write.send({
    action: WriteAction.WRITE,
    ref: "r",
    total: 0n,
    expected: "",
    offset: 0n,
    data: Buffer.alloc(0),
    labels: new Map(),
  });
  await expect(write.receive()).rejects.toThrow("nothing is taken");
  expect(opened.operations.list()).toEqual([]);
});
