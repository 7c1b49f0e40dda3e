/** Issue 5, Shows 6: clients of exec and attach that come and go by the hundreds, and outputs without end. */
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import type { IncomingHttpHeaders, SecureClientSessionOptions } from "node:http2";
import { connect } from "node:http2";
import { RuntimeServiceDefinition } from "@ctrd/api/cri/runtime/v1/api";
import { openChannel } from "@ctrd/services";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { SpdyClient } from "../packages/cri/test/spdy-client.ts";
import type { CommandResult } from "./support/command.ts";
import { describe, run, sleep, until } from "./support/command.ts";
import type { CriHarness } from "./support/cri.ts";
import { openCri } from "./support/cri.ts";
import { holdings, settled, visit } from "./support/stream-clients.ts";

let cri: CriHarness;
beforeAll(async () => {
  cri = await openCri("streams");
});
afterAll(() => cri?.close());
afterEach(async () => expect(await cri.removePods()).toEqual([]));

test("CVE-2022-23471, CVE-2025-64329: hundreds of clients that come and go leave neither handle, program nor memory", async () => {
  const pod = await cri.runPod("soak");
  const id = await cri.start(pod, "main", "while true; do echo tick; sleep 0.02; done", { stdin: true });
  await visit(cri, id, 45);
  const before = holdings(cri, pod);
  expect(before.shimHandles).toBeGreaterThan(0);
  const settledBefore = await settled(cri, pod, before);
  await visit(cri, id, 270);
  const after = await settled(cri, pod, settledBefore);
  // 100 KiB for each client that was kept would be 27 MiB; the rest is what a heap may have of garbage.
  expect(after.memory - settledBefore.memory).toBeLessThan(64 * 1024);
});

test("CVE-2022-31030: a gigabyte of output is read and thrown away, while memory stays and calls are answered", async () => {
  const pod = await cri.runPod("output");
  const id = await cri.start(pod, "main", "sleep 1000000");
  const run = (bytes: number): Promise<{ stdout: Uint8Array; stderr: Uint8Array }> => {
    const script = `head -c ${bytes} /dev/zero & head -c ${bytes} /dev/zero >&2; wait`;
    return cri.runtime.execSync(cri.ctx, { containerId: id, cmd: ["sh", "-c", script], timeout: 50n });
  };
  await run(50_000_000);
  const before = holdings(cri, pod);
  let [over, calls] = [false, 0];
  const running = run(500_000_000).finally(() => (over = true));
  while (!over) {
    await cri.status(id);
    calls += 1;
    await sleep(5);
  }
  const { stdout, stderr } = await running;
  expect(stdout.length + stderr.length).toBe((16 << 20) - 1024);
  expect(calls).toBeGreaterThan(20);
  const after = await settled(cri, pod, before);
  // An answer is there up to four times: in pieces, as a whole, encoded, and sent.
  expect(after.memory - before.memory).toBeLessThan(128 * 1024);
});

test("a client that sends what the container does not read goes, and does not keep the daemon from stopping", async () => {
  const id = await cri.start(await cri.runPod("stdin"), "main", "sleep 1000000", { stdin: true });
  const request = { containerId: id, stdin: true, stdout: true, stderr: true, tty: false };
  const client = await SpdyClient.connect((await cri.runtime.attach(cri.ctx, request)).url, "v4.channel.k8s.io");
  const ids: number[] = [];
  for (const streamtype of ["error", "stdin", "stdout", "stderr"]) ids.push(await client.open({ streamtype }));
  client.send(ids[1] ?? 0, Buffer.alloc(400_000, "x\n"));
  await cri.exec(id, "true");
  client.close();
  await cri.exec(id, "true");
  const begin = performance.now();
  await cri.h.daemon.stop();
  expect(performance.now() - begin).toBeLessThan(8_000);
  await cri.h.daemon.restart();
  await until("CRI serves", async () => (await cri.tryCrictl(["version"])).code === 0);
});

/** Restarts the daemon with more in its configuration. */
async function restartWith(config: string, table: string): Promise<void> {
  writeFileSync(cri.h.daemon.config, `${config}\n${table}\n`);
  await cri.h.daemon.restart();
  await until("CRI serves", async () => (await cri.tryCrictl(["version"])).code === 0);
}

/** Makes a CA, another one, and a certificate of the first for this node. @returns where they are */
async function certificates(): Promise<(name: string) => string> {
  const file = (name: string): string => cri.h.path(name);
  const make = async (name: string, ...args: string[]): Promise<void> => {
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", file(`${name}.key`)];
    const certificate = ["-x509", "-days", "2", "-subj", `/CN=${name}`, "-out", file(`${name}.pem`)];
    const result = await run("openssl", ["req", ...key, ...certificate, ...args]);
    if (result.code !== 0) throw new Error(describe(result));
  };
  await make("ca");
  await make("other");
  const names = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:false"];
  await make("node", ...names, "-CA", file("ca.pem"), "-CAkey", file("ca.key"));
  return file;
}

test("13.7: streams over TLS, by a key pair of a CA and by one that the daemon makes", async () => {
  const id = await cri.start(await cri.runPod("tls"), "main", "while read x; do echo got $x; done", { stdin: true });
  const file = (name: string): string => cri.h.path(name);
  const certificate = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  const make = async (...args: string[]): Promise<void> => {
    const result = await run("openssl", ["req", "-x509", ...certificate, ...args]);
    if (result.code !== 0) throw new Error(describe(result));
  };
  for (const name of ["ca", "other"]) {
    await make("-subj", `/CN=${name}`, "-keyout", file(`${name}.key`), "-out", file(`${name}.pem`));
  }
  const names = [
    "-subj",
    "/CN=node",
    "-addext",
    "subjectAltName=DNS:localhost",
    "-addext",
    "basicConstraints=CA:false",
  ];
  const issuer = ["-CA", file("ca.pem"), "-CAkey", file("ca.key")];
  await make(...names, ...issuer, "-keyout", file("node.key"), "-out", file("node.pem"));
  const before = readFileSync(cri.h.daemon.config, "utf8");
  const table = '[plugins."io.containerd.grpc.v1.cri"]\nenable_tls_streaming = true\n';
  const pair = `tls_cert_file = "${file("node.pem")}"\ntls_key_file = "${file("node.key")}"`;
  const exec = (transport: string, ...tls: string[]): Promise<CommandResult> =>
    cri.tryCrictl(["exec", "-i", "-r", transport, ...tls, id, "cat"], { input: `by ${transport}\n` });
  // crictl takes a CA only with a certificate of its own, which nobody asks for.
  const trust = (name: string): string[] => {
    return ["--tls-ca", file(`${name}.pem`), "--tls-cert", file("node.pem"), "--tls-key", file("node.key")];
  };
  try {
    await restartWith(before, `${table}[plugins."io.containerd.grpc.v1.cri".x509_key_pair_streaming]\n${pair}`);
    for (const transport of ["spdy", "websocket"]) {
      const trusting = await exec(transport, ...trust("ca"));
      expect(trusting, describe(trusting)).toMatchObject({ code: 0, stdout: `by ${transport}\n` });
      const distrusting = await exec(transport, ...trust("other"));
      expect(distrusting.code).not.toBe(0);
      expect(distrusting.stderr).toContain("certificate");
      const attach = ["attach", "-i", "-r", transport, ...trust("ca"), id];
      expect((await cri.tryCrictl(attach, { input: `${transport}\n` })).stderr).not.toContain("fatal");
      await until("the log has it", async () => (await cri.crictl("logs", id)).includes(`got ${transport}`));
    }
    await restartWith(before, table);
    const { url } = await cri.runtime.exec(cri.ctx, {
      containerId: id,
      cmd: ["cat"],
      stdin: true,
      stdout: true,
      stderr: true,
      tty: false,
    });
    expect(url).toMatch(/^https:\/\/127\.0\.0\.1:\d+\/exec\//);
    for (const transport of ["spdy", "websocket"]) {
      const result = await exec(transport);
      expect(result, describe(result)).toMatchObject({ code: 0, stdout: `by ${transport}\n` });
    }
  } finally {
    await restartWith(before, "");
  }
});

/** Calls a method with an empty message over HTTP/2. @returns the status of gRPC, and how long the answer is */
async function callOverTcp(url: string, path: string, tls: SecureClientSessionOptions = {}): Promise<[string, number]> {
  const session = connect(url, tls);
  try {
    const failed = once(session, "error").then(([error]) => {
      throw error;
    });
    const headers = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
    const call = session.request(headers);
    let status = "";
    const note = (fields: IncomingHttpHeaders): void => void (status = String(fields["grpc-status"] ?? status));
    call
      .on("response", note)
      .on("trailers", note)
      .on("error", () => {});
    call.end(Buffer.alloc(5));
    const parts = await Promise.race([call.toArray(), failed]);
    if (status === "") throw new Error("the connection ended without an answer");
    return [status, Buffer.concat(parts as Buffer[]).length];
  } finally {
    session.destroy();
  }
}

test("CRI over TCP when it is allowed, and nothing else; over TLS to clients of the CA", async () => {
  const file = await certificates();
  const before = readFileSync(cri.h.daemon.config, "utf8");
  const version = "/runtime.v1.RuntimeService/Version";
  const allowed = '[plugins."io.containerd.grpc.v1.cri"]\ndisable_tcp_service = false\n';
  // A port of the test's own network namespace.
  const server = '[plugins."io.containerd.server.v1.grpc-tcp"]\naddress = "127.0.0.1:12345"\n';
  try {
    await restartWith(before, server);
    expect(await callOverTcp("http://127.0.0.1:12345", version)).toEqual(["12", 0]);
    await restartWith(before, server + allowed);
    const [status, length] = await callOverTcp("http://127.0.0.1:12345", version);
    expect([status, length > 10]).toEqual(["0", true]);
    expect(await callOverTcp("http://127.0.0.1:12345", "/containerd.services.version.v1.Version/Version")).toEqual([
      "12",
      0,
    ]);
    const channel = openChannel("127.0.0.1:12345");
    try {
      const { items } = await channel.client(RuntimeServiceDefinition).listPodSandbox(cri.ctx, { filter: undefined });
      expect(items).toEqual([]);
    } finally {
      channel.close();
    }
    const keys = ["tls_ca = ", "ca.pem", "tls_cert = ", "node.pem", "tls_key = ", "node.key"];
    const tls = keys.map((text) => (text.endsWith(" ") ? text : `"${file(text)}"\n`)).join("");
    await restartWith(before, server + tls + allowed);
    const [ca, cert, key] = ["ca.pem", "node.pem", "node.key"].map((name) => readFileSync(file(name)));
    const own = { ca, cert, key } as SecureClientSessionOptions;
    expect((await callOverTcp("https://localhost:12345", version, own))[0]).toBe("0");
    await expect(
      callOverTcp("https://localhost:12345", version, { ca } as SecureClientSessionOptions),
    ).rejects.toThrow();
    await expect(callOverTcp("http://127.0.0.1:12345", version)).rejects.toThrow();
  } finally {
    await restartWith(before, "");
  }
});
