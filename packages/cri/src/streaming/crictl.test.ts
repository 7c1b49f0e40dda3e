import { spawn } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { connect, createServer } from "node:net";
import { buffer, text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect } from "vitest";
import type { StreamingCri } from "../../test/streaming-cri.ts";
import { crictlPath, crictlTest, openLocalStreaming, serveStreamingCri } from "../../test/streaming-cri.ts";

/** A server that answers what it gets, upper case, once its client has ended. */
async function startEcho(): Promise<{ port: number; [Symbol.asyncDispose](): Promise<void> }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    void buffer(socket).then(
      (bytes) => socket.end(bytes.toString().toUpperCase()),
      () => socket.destroy(),
    );
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve) => void server.close(() => resolve()));
    },
  };
}

/** `crictl port-forward` to `port`; resolves once it listens. */
async function startForward(cri: StreamingCri, transport: string, port: number) {
  const child = spawn(crictlPath, [...cri.options, "port-forward", "-r", transport, "p1", `:${port}`], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const take = (chunk: Buffer): void => {
    said += chunk.toString();
    const found = /Forwarding from 127\.0\.0\.1:(\d+)/.exec(said);
    if (found?.[1] !== undefined) resolve(Number(found[1]));
  };
  child.stdout.on("data", take);
  child.stderr.on("data", take);
  child.once("exit", () => reject(new Error(`crictl port-forward ended: ${said}`)));
  return {
    localPort: await promise,
    said: () => said,
    async [Symbol.asyncDispose]() {
      const gone = once(child, "exit");
      child.kill("SIGTERM");
      await gone;
    },
  };
}

async function connectTo(port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  await once(socket, "connect");
  return socket;
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await sleep(20);
  }
}

describe.each(["spdy", "websocket"])("crictl over %s", (transport) => {
  crictlTest(`exec over ${transport}: input, both outputs, exit code`, async () => {
    await using streaming = await openLocalStreaming();
    await using cri = await serveStreamingCri(streaming.server);
    const exec = async (args: string[], input?: string) =>
      cri.crictl(["exec", "-r", transport, ...args], input === undefined ? {} : { input });
    const both = await exec(["c1", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    expect(both.stdout).toBe("out\n");
    expect(both.stderr).toContain("err\n");
    expect(both.exitCode).toBe(1);
    expect(both.stderr).toContain("command terminated with exit code 3");
    const echoed = await exec(["-i", "c1", "tr", "a-z", "A-Z"], "hello\n".repeat(100_000));
    expect(echoed.exitCode).toBe(0);
    expect(echoed.stdout).toBe("HELLO\n".repeat(100_000));
    const missing = await exec(["missing", "true"]);
    expect(missing.stderr).toMatch(/error executing command in container: container \S+: not found/);
    await until("calls have returned", () => streaming.runtime.running === 0);
  });

  crictlTest(`exec over ${transport}: a large output is whole`, async () => {
    await using streaming = await openLocalStreaming();
    await using cri = await serveStreamingCri(streaming.server);
    const command = `${crictlPath} ${cri.options.join(" ")} exec -r ${transport} c1 head -c 100000000 /dev/zero | wc -c`;
    const child = spawn("sh", ["-c", command], { stdio: ["ignore", "pipe", "inherit"] });
    expect((await text(child.stdout)).trim()).toBe("100000000");
  });

  crictlTest(`exec -it over ${transport}: the terminal's size arrives`, async () => {
    await using streaming = await openLocalStreaming();
    await using cri = await serveStreamingCri(streaming.server);
    const crictl = `${crictlPath} ${cri.options.join(" ")} exec -r ${transport} -it c1 sleep 1`;
    const child = spawn("script", ["-qec", `stty cols 91 rows 17; ${crictl}`, "/dev/null"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    expect(await text(child.stdout)).toContain("[91x17]");
    child.stdin.end();
  });

  crictlTest(`attach over ${transport}`, async () => {
    await using streaming = await openLocalStreaming();
    await using cri = await serveStreamingCri(streaming.server);
    const attached = await cri.crictl(["attach", "-r", transport, "-i", "c1"], { input: "to and fro\n" });
    expect(attached.stdout).toBe("to and fro\n");
    expect(attached.exitCode).toBe(0);
  });

  crictlTest(`port-forward over ${transport}: connections at the same time, half-close, failure`, async () => {
    await using streaming = await openLocalStreaming();
    await using cri = await serveStreamingCri(streaming.server);
    await using echo = await startEcho();
    {
      await using forward = await startForward(cri, transport, echo.port);
      const answers = Array.from({ length: 20 }, async (_, index) => {
        const socket = await connectTo(forward.localPort);
        socket.end(`request ${index} `.repeat(5_000));
        return text(socket);
      });
      const texts = await Promise.all(answers);
      for (const [index, answer] of texts.entries()) expect(answer).toBe(`REQUEST ${index} `.repeat(5_000));
    }
    await using refused = await startForward(cri, transport, 1);
    const socket = await connectTo(refused.localPort);
    expect(await text(socket)).toBe("");
    await until("the failure is told", () => refused.said().includes("error forwarding port 1 to pod p1"));
    expect(refused.said()).toContain("ECONNREFUSED");
    await until("calls have returned", () => streaming.runtime.running === 0);
  });

  crictlTest(`a killed crictl ends its call over ${transport}`, async () => {
    await using streaming = await openLocalStreaming();
    await using cri = await serveStreamingCri(streaming.server);
    const child = spawn(crictlPath, [...cri.options, "exec", "-r", transport, "c1", "sleep", "600"]);
    await until("the call runs", () => streaming.runtime.running === 1);
    child.kill("SIGKILL");
    await until("the call has returned", () => streaming.runtime.running === 0);
    expect(streaming.runtime.aborted).toBe(1);
  });
});
