import { ExecRequest } from "@ctrd/api/cri/runtime/v1/api";
import { createContext } from "@ctrd/core/context";
import { tempDir } from "@ctrd/testkit/fixtures";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { connect as connectTls } from "node:tls";
import { expect, it } from "vitest";
import { SpdyClient } from "../../test/spdy-client.ts";
import { crictlTest, openLocalStreaming, serveStreamingCri } from "../../test/streaming-cri.ts";
import { LocalRuntime } from "../../test/local-runtime.ts";
import { joinStreams, openStreamingServer, readKeyPair, selfSignedCertificate } from "./index.ts";
import { PendingRequests } from "./requests.ts";

const exec = ExecRequest.create({ containerId: "c1", cmd: ["true"], stdout: true });

it("keeps 1000 calls that wait, each for a minute", () => {
  let now = 0;
  const pending = new PendingRequests(() => now);
  const tokens = Array.from({ length: 1_000 }, () => pending.add({ kind: "exec", request: exec }));
  expect(new Set(tokens).size).toBe(1_000);
  expect(() => pending.add({ kind: "exec", request: exec })).toThrow(/1000 calls wait.*resource exhausted/);
  expect(pending.take(tokens[0] as string)?.kind).toBe("exec");
  expect(pending.take(tokens[0] as string)).toBeUndefined();
  const last = pending.add({ kind: "exec", request: exec });
  now = 59_999;
  expect(pending.take(tokens[1] as string)?.kind).toBe("exec");
  now = 60_000;
  expect(pending.take(tokens[2] as string)).toBeUndefined();
  expect(pending.take(last)).toBeUndefined();
  for (let index = 0; index < 1_000; index++) pending.add({ kind: "exec", request: exec });
});

it("names the port when it is taken", async () => {
  await using streaming = await openLocalStreaming();
  const { port } = new URL(streaming.server.baseUrl);
  const options = { address: "127.0.0.1", port: Number(port), context: createContext() };
  await expect(openStreamingServer(new LocalRuntime(), options)).rejects.toThrow(`listen on 127.0.0.1:${port}`);
});

it("listens on IPv6", async () => {
  await using six = await openLocalStreaming({ address: "::1" });
  expect(six.server.baseUrl).toMatch(/^http:\/\/\[::1\]:\d+$/);
  const client = await SpdyClient.connect(six.server.getExec(exec), "v4.channel.k8s.io");
  client.close();
});

it("makes certificates that name what they are for", () => {
  const { cert, key } = selfSignedCertificate(["node-1", "127.0.0.1", "fd00::1:2"]);
  const certificate = new X509Certificate(cert);
  expect(certificate.verify(certificate.publicKey)).toBe(true);
  expect(certificate.checkHost("node-1")).toBe("node-1");
  expect(certificate.checkIP("127.0.0.1")).toBe("127.0.0.1");
  expect(certificate.checkIP("fd00::1:2")).toBe("fd00::1:2");
  expect(Date.parse(certificate.validFrom)).toBeLessThan(Date.now());
  expect(Date.parse(certificate.validTo)).toBeGreaterThan(Date.now() + 300 * 24 * 3_600_000);
  expect(key).toContain("PRIVATE KEY");
});

crictlTest("serves TLS to crictl, over both transports, with a key pair from files", async () => {
  await using directory = await tempDir("tls-");
  const [certFile, keyFile] = [join(directory.path, "cert.pem"), join(directory.path, "key.pem")];
  const made = selfSignedCertificate(["localhost", "127.0.0.1"]);
  await writeFile(certFile, made.cert);
  await writeFile(keyFile, made.key);
  await using streaming = await openLocalStreaming({ tls: await readKeyPair(certFile, keyFile) });
  await using cri = await serveStreamingCri(streaming.server);
  for (const transport of ["spdy", "websocket"]) {
    const args = ["exec", "-r", transport, "-i", "--tls-ca", certFile, "--tls-cert", certFile, "--tls-key", keyFile];
    const done = await cri.crictl([...args, "c1", "tr", "a-z", "A-Z"], { input: "secret" });
    expect(done.stdout, done.stderr).toBe("SECRET");
  }
  await expect(readKeyPair(certFile, join(directory.path, "none"))).rejects.toThrow("read key pair");
});

it("survives what is no TLS, and no HTTP", async () => {
  const tls = selfSignedCertificate(["127.0.0.1"]);
  await using streaming = await openLocalStreaming({ tls });
  const { port, hostname } = new URL(streaming.server.baseUrl);
  const plain = connect({ port: Number(port), host: hostname });
  plain.on("error", () => {});
  plain.end("GET /exec/x HTTP/1.1\r\n\r\n");
  await once(plain, "close");
  const secure = connectTls({ port: Number(port), host: hostname, ca: tls.cert });
  secure.on("error", () => {});
  secure.end("nonsense\r\n\r\n");
  expect(await text(secure)).toContain("400 Bad Request");
});

it("CVE-2022-23471, CVE-2025-64329: keeps nothing of clients that came and went", async () => {
  await using streaming = await openLocalStreaming();
  const descriptors = (): number => readdirSync("/proc/self/fd").length;
  const round = async (index: number): Promise<void> => {
    const request = ExecRequest.create({ containerId: "c1", cmd: ["cat"], stdin: true, stdout: true, tty: true });
    const url = index % 2 === 0 ? streaming.server.getExec(request) : streaming.server.getAttach({ ...request });
    const client = await SpdyClient.connect(url, "v4.channel.k8s.io");
    for (const streamType of ["error", "stdin", "stdout", "resize"].slice(0, index % 5))
      await client.open({ streamType });
    client.socket.resetAndDestroy();
    client.close();
  };
  const batch = async (): Promise<void> => {
    for (let at = 0; at < 400; at += 8) await Promise.all(Array.from({ length: 8 }, (_, index) => round(at + index)));
    await expect.poll(() => streaming.runtime.running, { timeout: 20_000 }).toBe(0);
  };
  await batch();
  const before = descriptors();
  await batch();
  await expect.poll(descriptors, { timeout: 20_000 }).toBeLessThanOrEqual(before);
  const listeners = process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length;
  expect(listeners).toBeLessThan(10);
});

/** Both ends of a connection. */
async function socketPair(): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const client = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const [[accepted]] = (await Promise.all([once(server, "connection"), once(client, "connect")])) as [
    [Socket],
    unknown,
  ];
  server.close();
  return [client, accepted];
}

it("joined connections end in halves; the second half is waited for, but not for long", async () => {
  const [[left, a], [b, right]] = [await socketPair(), await socketPair()];
  const never = new AbortController().signal;
  const joined = joinStreams(a, b, never, 60_000);
  left.end("question");
  expect(await text(right)).toBe("question");
  right.end("answer");
  expect(await text(left)).toBe("answer");
  await joined;
  const [[left2, a2], [b2, right2]] = [await socketPair(), await socketPair()];
  const cut = joinStreams(a2, b2, never, 50);
  left2.end("question");
  await cut;
  expect(await text(right2)).toBe("question");
  right2.destroy();
});

it("joined connections fail together, and end with their call", async () => {
  const [[left, a], [b, right]] = [await socketPair(), await socketPair()];
  for (const socket of [left, right]) socket.on("error", () => {});
  const joined = joinStreams(a, b, new AbortController().signal);
  left.resetAndDestroy();
  await expect(joined).rejects.toThrow("ECONNRESET");
  if (!right.readableEnded) await once(right.resume(), "end");
  right.destroy();
  const [[left2, a2], [b2, right2]] = [await socketPair(), await socketPair()];
  for (const socket of [left2, right2]) socket.on("error", () => {}).resume();
  const controller = new AbortController();
  const aborted = joinStreams(a2, b2, controller.signal);
  controller.abort();
  await expect(aborted).rejects.toThrow("abort");
  expect([a2.destroyed, b2.destroyed]).toEqual([true, true]);
  left2.destroy();
  right2.destroy();
});
