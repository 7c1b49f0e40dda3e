import { AttachRequest, ExecRequest, PortForwardRequest } from "@ctrd/api/cri/runtime/v1/api";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { describe, expect, it } from "vitest";
import { askUpgrade, SpdyClient, spdyHeaders } from "../../test/spdy-client.ts";
import { openLocalStreaming } from "../../test/streaming-cri.ts";
import { adler32 } from "../../test/adler32.ts";
import { headerDictionary, headerDictionaryId } from "./spdy/dictionary.ts";
import { controlFrame, FrameType, ResetStatus } from "./spdy/frames.ts";

const v4 = "v4.channel.k8s.io";
const exec = (...cmd: string[]): ExecRequest =>
  ExecRequest.create({ containerId: "c1", cmd, stdout: true, stderr: true });
const stream = (streamType: string, more: Record<string, string> = {}): Record<string, string> => ({
  streamType,
  ...more,
});
const resets = (client: SpdyClient): [number, number][] =>
  client.controls(FrameType.rstStream).map((payload) => [payload.readUInt32BE(0), payload.readUInt32BE(4)]);

it("has the dictionary that the protocol names", () => {
  expect(headerDictionary.length).toBe(1_423);
  expect(adler32(headerDictionary)).toBe(headerDictionaryId);
});

describe("exec", () => {
  it.each([
    [
      "v4.channel.k8s.io",
      '{"status":"Failure","message":"command terminated with non-zero exit code: exit code 3","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}',
    ],
    ["v3.channel.k8s.io", "command terminated with non-zero exit code: exit code 3"],
    ["v2.channel.k8s.io", "command terminated with non-zero exit code: exit code 3"],
    ["channel.k8s.io", "command terminated with non-zero exit code: exit code 3"],
  ])("over %s tells the exit code", async (protocol, status) => {
    await using streaming = await openLocalStreaming();
    const client = await SpdyClient.connect(
      streaming.server.getExec(exec("sh", "-c", "echo out; echo err >&2; exit 3")),
      protocol,
    );
    const [stderr, stdout, error] = [
      await client.open(stream("stderr")),
      await client.open(stream("stdout")),
      await client.open(stream("error")),
    ];
    await client.gone();
    expect(await client.replyHeaders()).toEqual([0, 0, 0]);
    expect(client.text(stdout)).toBe("out\n");
    expect(client.text(stderr)).toBe("err\n");
    expect(client.text(error)).toBe(status);
    expect([...client.ended].toSorted()).toEqual([stderr, stdout, error]);
    expect(client.controls(FrameType.goAway)).toHaveLength(1);
    client.close();
  });

  it("says nothing of success before v4, and so in v4", async () => {
    await using streaming = await openLocalStreaming();
    for (const [protocol, status] of [
      [v4, '{"status":"Success"}'],
      ["v3.channel.k8s.io", ""],
    ] as const) {
      const client = await SpdyClient.connect(streaming.server.getExec({ ...exec("true"), stderr: false }), protocol);
      await client.open(stream("stdout"));
      const error = await client.open(stream("error"));
      await client.gone();
      expect(client.text(error)).toBe(status);
      client.close();
    }
  });

  it("tells why a command was not run", async () => {
    await using streaming = await openLocalStreaming();
    const request = { ...exec("true"), containerId: "missing", stderr: false };
    const client = await SpdyClient.connect(streaming.server.getExec(request), v4);
    await client.open(stream("stdout"));
    const error = await client.open(stream("error"));
    await client.gone();
    expect(JSON.parse(client.text(error))).toEqual({
      status: "Failure",
      reason: "InternalError",
      code: 500,
      message: 'Internal error occurred: error executing command in container: container "missing": not found',
      details: { causes: [{ message: 'error executing command in container: container "missing": not found' }] },
    });
    client.close();
  });

  it("hands on the end of stdin, and sizes only with a terminal", async () => {
    await using streaming = await openLocalStreaming();
    const request = ExecRequest.create({ containerId: "c1", cmd: ["cat"], stdin: true, stdout: true, tty: true });
    const client = await SpdyClient.connect(streaming.server.getExec(request), "v3.channel.k8s.io");
    const ids = { error: 0, stdin: 0, stdout: 0, resize: 0 };
    for (const name of ["error", "stdin", "stdout", "resize"] as const) ids[name] = await client.open(stream(name));
    const sizes =
      '{"Width":80,"Height":24}\n{"Width":0,"Height":9}{"width":132,"height":43} nonsense}{"Width":1,"Height":1}';
    client.send(ids.resize, sizes.slice(0, 30));
    client.send(ids.resize, sizes.slice(30));
    await client.until("sizes", () => client.text(ids.stdout).includes("[132x43]"));
    client.send(ids.stdin, "hello", true);
    await client.gone();
    expect(client.text(ids.stdout)).toBe("[80x24][132x43]hello");
    client.close();
  });

  it("ends without a message when not all streams come", async () => {
    await using streaming = await openLocalStreaming({ streamCreationTimeoutMs: 50 });
    const client = await SpdyClient.connect(streaming.server.getExec(exec("true")), v4);
    const error = await client.open(stream("error"));
    await client.open(stream("of-another-protocol"));
    await client.gone();
    expect(client.text(error)).toBe("");
    expect(streaming.runtime.running).toBe(0);
    client.close();
  });

  it("holds a client up whose input nobody reads, and sees it go", async () => {
    await using streaming = await openLocalStreaming();
    const request = ExecRequest.create({ containerId: "c1", cmd: ["sleep", "600"], stdin: true, stdout: true });
    const client = await SpdyClient.connect(streaming.server.getExec(request), v4);
    const ids = { error: 0, stdin: 0, stdout: 0 };
    for (const name of ["error", "stdin", "stdout"] as const) ids[name] = await client.open(stream(name));
    const chunk = Buffer.alloc(65_536);
    let sent = 0;
    // The kernel's buffers and ours fill up, then nothing goes.
    for (; sent < 1_000 && client.socket.writableLength < 1_000_000; sent++) {
      client.send(ids.stdin, chunk);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(sent).toBeLessThan(1_000);
    client.close();
    await client.until("the call has returned", () => streaming.runtime.running === 0);
  });

  it("closes a connection that is idle", async () => {
    await using streaming = await openLocalStreaming({ idleTimeoutMs: 200 });
    const client = await SpdyClient.connect(streaming.server.getExec({ ...exec("sleep", "600"), stderr: false }), v4);
    await client.open(stream("stdout"));
    await client.open(stream("error"));
    await client.gone();
    await client.until("the call has returned", () => streaming.runtime.running === 0);
    client.close();
  });

  it("ends when the server closes", async () => {
    const streaming = await openLocalStreaming();
    const client = await SpdyClient.connect(streaming.server.getExec({ ...exec("sleep", "600"), stderr: false }), v4);
    await client.open(stream("stdout"));
    await client.open(stream("error"));
    await client.until("the call runs", () => streaming.runtime.running === 1);
    await streaming.server.close();
    expect(streaming.runtime.running).toBe(0);
    await client.gone();
    client.close();
  });
});

it("attaches", async () => {
  await using streaming = await openLocalStreaming();
  const request = AttachRequest.create({ containerId: "c1", stdin: true, stdout: true });
  const client = await SpdyClient.connect(streaming.server.getAttach(request), v4);
  const error = await client.open(stream("error"));
  const [stdin, stdout] = [await client.open(stream("stdin")), await client.open(stream("stdout"))];
  client.send(stdin, "text", true);
  await client.gone();
  expect([client.text(stdout), client.text(error)]).toEqual(["text", '{"status":"Success"}']);
  client.close();
});

describe("requests", () => {
  it("agree on the client's first protocol that is known", async () => {
    await using streaming = await openLocalStreaming();
    const url = (): string => streaming.server.getExec(exec("true"));
    const answer = await askUpgrade(url(), spdyHeaders("v5.channel.k8s.io", "v2.channel.k8s.io", v4), "GET");
    if (answer.kind !== "switched") throw new Error("refused");
    expect(answer.response.headers["x-stream-protocol-version"]).toBe("v2.channel.k8s.io");
    answer.socket.destroy();
    const none = await askUpgrade(url(), spdyHeaders());
    expect(none).toMatchObject({ kind: "refused", status: 400 });
    const unknown = await askUpgrade(url(), spdyHeaders("v5.channel.k8s.io", "x"));
    expect(unknown).toMatchObject({ kind: "refused", status: 403 });
    if (unknown.kind !== "refused") return;
    const accepted = unknown.headers.filter(
      (_, index) => unknown.headers[index - 1] === "X-Accepted-Stream-Protocol-Versions",
    );
    expect(accepted).toEqual([v4, "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"]);
  });

  it("without an upgrade, or with another, are refused", async () => {
    await using streaming = await openLocalStreaming();
    const url = (): string => streaming.server.getExec(exec("true"));
    const protocols = { "X-Stream-Protocol-Version": v4 };
    expect(await askUpgrade(url(), {})).toMatchObject({ kind: "refused", status: 400 });
    expect(await askUpgrade(url(), protocols)).toMatchObject({ kind: "refused", status: 400 });
    const http2 = { ...protocols, Connection: "Upgrade", Upgrade: "h2c" };
    expect(await askUpgrade(url(), http2)).toMatchObject({ kind: "refused", status: 400 });
    expect(await askUpgrade(url(), { ...spdyHeaders(v4), "X-Long": "x".repeat(20_000) })).toMatchObject({
      status: 431,
    });
  });

  it("have tokens that are good for one use and one kind of call", async () => {
    await using streaming = await openLocalStreaming();
    const { server } = streaming;
    const url = server.getExec(exec("true"));
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/exec\/[A-Za-z0-9_-]{8}$/);
    const first = await askUpgrade(url, spdyHeaders(v4));
    expect(first.kind).toBe("switched");
    if (first.kind === "switched") first.socket.destroy();
    for (const wrong of [
      url,
      server.getExec(exec("true")).replace("/exec/", "/attach/"),
      `${server.baseUrl}/exec/none`,
      server.baseUrl,
    ]) {
      expect(await askUpgrade(wrong, spdyHeaders(v4))).toMatchObject({ kind: "refused", status: 404 });
      expect(await askUpgrade(wrong, {})).toMatchObject({ kind: "refused", status: 404 });
    }
    expect(await askUpgrade(server.getExec(exec("true")), spdyHeaders(v4), "PUT")).toMatchObject({ status: 405 });
  });

  it("that contradict themselves get no URL", async () => {
    await using streaming = await openLocalStreaming();
    const { server } = streaming;
    const base = { containerId: "c1", cmd: ["true"] };
    expect(() => server.getExec(ExecRequest.create({ ...base, stdout: true, containerId: "" }))).toThrow(
      "container_id",
    );
    expect(() => server.getExec(ExecRequest.create(base))).toThrow("one of stdin, stdout, or stderr must be set");
    expect(() =>
      server.getAttach(AttachRequest.create({ containerId: "c1", tty: true, stderr: true, stdout: true })),
    ).toThrow("tty and stderr cannot both be true");
    expect(() => server.getPortForward(PortForwardRequest.create({}))).toThrow("pod_sandbox_id");
  });
});

describe("port-forward", () => {
  const protocol = "portforward.k8s.io";
  const open = async (url: string): Promise<SpdyClient> => SpdyClient.connect(url, protocol);

  it("pairs streams by request, or by number for old clients", async () => {
    await using streaming = await openLocalStreaming();
    const server = createServer((socket) => socket.end("served")).listen(0, "127.0.0.1");
    await once(server, "listening");
    const port = String((server.address() as AddressInfo).port);
    const client = await open(streaming.server.getPortForward(PortForwardRequest.create({ podSandboxId: "p1" })));
    const withId = [
      await client.open(stream("data", { port, requestID: "7" })),
      await client.open(stream("error", { port, requestID: "7" })),
    ];
    const without = [await client.open(stream("error", { port })), await client.open(stream("data", { port }))];
    await client.until("both have ended", () => [...withId, ...without].every((id) => client.ended.has(id)));
    expect(client.text(withId[0] as number)).toBe("served");
    expect(client.text(without[1] as number)).toBe("served");
    client.close();
    server.close();
  });

  it("tells a failure on the error stream and resets both", async () => {
    await using streaming = await openLocalStreaming();
    const client = await open(streaming.server.getPortForward(PortForwardRequest.create({ podSandboxId: "p1" })));
    const error = await client.open(stream("error", { port: "1", requestID: "0" }));
    const data = await client.open(stream("data", { port: "1", requestID: "0" }));
    await client.until("both are reset", () => resets(client).length === 2);
    expect(client.text(error)).toMatch(/^error forwarding port 1 to pod p1: .*ECONNREFUSED/);
    expect(resets(client).toSorted()).toEqual([
      [error, ResetStatus.cancel],
      [data, ResetStatus.cancel],
    ]);
    client.close();
  });

  it("refuses streams that say nothing of sense, and those whose other half does not come", async () => {
    await using streaming = await openLocalStreaming({ streamCreationTimeoutMs: 100 });
    const client = await open(streaming.server.getPortForward(PortForwardRequest.create({ podSandboxId: "p1" })));
    const bad = [
      stream("data"),
      stream("data", { port: "0" }),
      stream("data", { port: "70000" }),
      stream("data", { port: "8x" }),
      stream("stdin", { port: "80" }),
      { port: "80" },
    ];
    const ids: number[] = [];
    for (const headers of bad) ids.push(await client.open(headers));
    await client.until("all are refused", () => resets(client).length === bad.length);
    expect(resets(client)).toEqual(ids.map((id) => [id, ResetStatus.refused]));
    const alone = await client.open(stream("error", { port: "80", requestID: "9" }));
    await client.until("it ends", () => client.ended.has(alone));
    expect(client.text(alone)).toContain("did not come in time");
    client.close();
  });

  it("refuses more streams than a client may have", async () => {
    await using streaming = await openLocalStreaming();
    const client = await open(streaming.server.getPortForward(PortForwardRequest.create({ podSandboxId: "p1" })));
    for (let index = 0; index < 1_001; index++)
      await client.open(stream("data", { port: "80", requestID: String(index) }));
    await client.until("one is refused", () => resets(client).length === 1);
    expect(resets(client)).toEqual([[2_001, ResetStatus.refused]]);
    client.close();
  });
});

describe("frames", () => {
  const connect = async (streaming: Awaited<ReturnType<typeof openLocalStreaming>>): Promise<SpdyClient> =>
    SpdyClient.connect(streaming.server.getExec(exec("sleep", "600")), v4);

  it("ping is answered, and what means nothing here is passed over", async () => {
    await using streaming = await openLocalStreaming();
    const client = await connect(streaming);
    client.socket.write(controlFrame(4, Buffer.alloc(12)));
    client.socket.write(controlFrame(9, 1, 65_536));
    client.socket.write(controlFrame(FrameType.headers, 1, await client.compress({ a: "b" })));
    client.socket.write(controlFrame(77, Buffer.alloc(5)));
    client.send(99, "of no stream", true);
    client.socket.write(controlFrame(FrameType.ping, 5));
    await client.until("the answer", () => client.controls(FrameType.ping).length === 1);
    expect(client.controls(FrameType.ping)[0]?.readUInt32BE(0)).toBe(5);
    client.close();
  });

  it.each<[string, (client: SpdyClient) => Promise<Buffer>]>([
    ["of another version", async () => Buffer.from("8002000100000000", "hex")],
    ["too long", async () => Buffer.from("8003000101000000", "hex")],
    ["truncated", async () => controlFrame(FrameType.synStream, 1)],
    [
      "with a stream number of the server's",
      async (client) => controlFrame(FrameType.synStream, 2, 0, Buffer.alloc(2), await client.compress({})),
    ],
    [
      "with garbage for headers",
      async () => controlFrame(FrameType.synStream, 1, 0, Buffer.alloc(2), Buffer.from("garbage, not zlib")),
    ],
    [
      "with headers that end early",
      async (client) =>
        controlFrame(
          FrameType.synStream,
          1,
          0,
          Buffer.alloc(2),
          await client.compressBytes(Buffer.from("00000001000000ff", "hex")),
        ),
    ],
    [
      "with headers that never end",
      async (client) =>
        controlFrame(FrameType.synStream, 1, 0, Buffer.alloc(2), await client.compressBytes(Buffer.alloc(1_000_000))),
    ],
    [
      "with too many headers",
      async (client) =>
        controlFrame(
          FrameType.synStream,
          1,
          0,
          Buffer.alloc(2),
          await client.compressBytes(Buffer.from("00001000", "hex")),
        ),
    ],
  ])("%s end the connection", async (_name, make) => {
    await using streaming = await openLocalStreaming();
    const client = await connect(streaming);
    client.socket.write(await make(client));
    await client.gone();
    const [goAway] = client.controls(FrameType.goAway);
    expect(goAway?.readUInt32BE(4)).toBe(1);
    client.close();
  });

  it("that are asked for and not read do not pile up", async () => {
    await using streaming = await openLocalStreaming();
    const client = await connect(streaming);
    client.socket.pause();
    const pings = Buffer.concat(Array.from({ length: 5_000 }, () => controlFrame(FrameType.ping, 1)));
    let sent = 0;
    for (; sent < 2_000 && client.socket.writableLength < 1_000_000; sent++) {
      client.socket.write(pings);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(sent).toBeLessThan(2_000);
    client.close();
  });

  it("of any kind never end the daemon, nor leave calls behind", async () => {
    await using streaming = await openLocalStreaming({ streamCreationTimeoutMs: 200 });
    const random = (below: number): number => Math.floor(Math.random() * below);
    const rounds = Array.from({ length: 200 }, async () => {
      const client = await connect(streaming);
      for (const name of ["error", "stdout", "stderr"]) if (random(3) > 0) await client.open(stream(name));
      for (let index = random(20); index > 0; index--) {
        const frame = random(4) === 0 ? Buffer.from([random(256)]) : controlFrame(random(11), random(5), random(5));
        if (random(2) === 0) frame[random(frame.length)] = random(256);
        client.socket.write(frame);
      }
      if (random(2) === 0) client.socket.end();
      else client.socket.destroy();
      await client.gone();
      client.close();
    });
    await Promise.all(rounds);
    const client = await connect(streaming);
    await client.until("all calls have returned", () => streaming.runtime.running === 0);
    client.close();
  });
});
