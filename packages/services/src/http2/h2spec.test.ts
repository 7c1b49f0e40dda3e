// h2spec, the conformance suite for HTTP/2, against the server's connection.
import { execFile } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import type { Http2Stream } from "./index.ts";
import { encodeHeaders, Http2Connection } from "./index.ts";

const h2spec = join(import.meta.dirname, "../../../../.host/bin/h2spec");
const conforms = "has all that h2spec asks of servers";

const headers = encodeHeaders([[":status", "200"]]);
const trailers = encodeHeaders([["x-end", "1"]]);
/** Answers take a moment, so that the limit of streams at once can be reached. */
const answerMs = 200;

function answer(stream: Http2Stream): void {
  stream.discard();
  setTimeout(() => {
    stream.respond(headers);
    stream.write(Buffer.from("answer"));
    stream.end(trailers);
  }, answerMs);
}

async function checkConformance(): Promise<void> {
  const connections: Http2Connection[] = [];
  const server = createServer((socket) => {
    connections.push(new Http2Connection(socket, { stream: answer, error() {}, close() {} }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const { port } = server.address() as AddressInfo;
    const args = ["-h", "127.0.0.1", "-p", String(port), "--timeout", "5"];
    // What fails is in its output, and makes its exit code 1.
    const { stdout } = await promisify(execFile)(h2spec, args, { timeout: 120_000 }).catch(
      (error: { stdout: string }) => error,
    );
    const failed = stdout.slice(Math.max(0, stdout.indexOf("Failures:")));
    // What is skipped needs a server that pushes, or one without a limit of streams.
    expect(failed).toMatch(/\n145 tests, 14\d passed, \d skipped, 0 failed/);
  } finally {
    for (const connection of connections) connection.destroy();
    server.close();
  }
}

if (existsSync(h2spec)) it(conforms, checkConformance, 150_000);
else if (process.env["CI"] === "true") it(conforms, () => expect.fail(`${h2spec} is missing: tools/setup-host.sh`));
else it.skip(`${conforms} [skipped: ${h2spec} is missing: tools/setup-host.sh]`);
