/** Issue 5, Shows 6: clients of exec and attach that come and go by the hundreds, and outputs without end. */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
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

/** Restarts the daemon with more in its configuration. */
async function restartWith(config: string, table: string): Promise<void> {
  writeFileSync(cri.h.daemon.config, `${config}\n${table}\n`);
  await cri.h.daemon.restart();
  await until("CRI serves", async () => (await cri.tryCrictl(["version"])).code === 0);
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
