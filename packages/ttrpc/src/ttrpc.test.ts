import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { KeyValue } from "@ctrd/api/ttrpc/request";
import { describe, expect, it } from "vitest";
import { collect, demo, Demo, handlers, kindOfRejection, kv, useDemoServer, withClient } from "../test/demo-service.ts";
import { TtrpcClient } from "./client.ts";
import { maxFrameLength } from "./frame.ts";
import { TtrpcServer } from "./server.ts";

useDemoServer();

describe("client and server", () => {
  it("answers unary calls, many at a time", () =>
    withClient(async (client) => {
      const answers = await Promise.all(
        Array.from({ length: 500 }, (_, i) => client.call(Demo, "echo", kv(String(i), "x".repeat(i * 10)))),
      );
      answers.forEach((answer, i) => expect(answer).toEqual(kv(String(i), "x".repeat(i * 10))));
    }));

  it("carries metadata, lower-cased and repeated, and the timeout", () =>
    withClient(async (client) => {
      const metadata = new Map([["Containerd-Namespace-TTRPC", ["a", "b"]]]);
      const { list } = await client.call(Demo, "meta", kv(""), { metadata, timeoutMs: 5000 });
      expect(list).toEqual(["containerd-namespace-ttrpc=a|b", "timeout=5000"]);
      expect((await client.call(Demo, "meta", kv(""))).list).toEqual(["timeout=undefined"]);
    }));

  it("turns errors into statuses and back without doubling the kind's text", () =>
    withClient(async (client) => {
      expect(await kindOfRejection(client.call(Demo, "fail", kv("kind")))).toBe(`not-found: thing "x": not found`);
      expect(await kindOfRejection(client.call(Demo, "fail", kv("errno")))).toBe("not-found: no such file: not found");
      expect(await kindOfRejection(client.call(Demo, "fail", kv("")))).toBe("unknown: plain");
    }));

  it("answers Unimplemented for unknown services and methods", () =>
    withClient(async (client) => {
      expect(await kindOfRejection(client.call(Demo, "absent", kv("")))).toMatch(/^not-implemented: .*method Absent/);
      const other = { ...Demo, fullName: "ctrd.test.Other" } as const;
      expect(await kindOfRejection(client.call(other, "echo", kv("")))).toMatch(/^not-implemented: .*ctrd.test.Other/);
    }));

  it("ends a call at its deadline on both sides", () =>
    withClient(async (client) => {
      const call = client.call(Demo, "hang", kv(""), { timeoutMs: 50 });
      expect(await kindOfRejection(call)).toMatch(/^deadline-exceeded/);
      await expect.poll(() => demo.lastCall?.signal.aborted).toBe(true);
      expect(await client.call(Demo, "echo", kv("still", "alive"))).toEqual(kv("still", "alive"));
    }));

  it("gives a call up when its signal aborts", () =>
    withClient(async (client) => {
      const controller = new AbortController();
      const call = client.call(Demo, "hang", kv(""), { signal: controller.signal });
      setTimeout(() => controller.abort(), 20);
      expect(await kindOfRejection(call)).toMatch(/^canceled/);
      expect(await kindOfRejection(client.call(Demo, "echo", kv(""), { signal: controller.signal }))).toMatch(
        /^cancel/,
      );
    }));

  it("fails pending calls when the connection is lost, and tells onClose", async () => {
    const client = await TtrpcClient.connect(demo.path);
    const closed = new Promise((resolve) => client.onClose(() => resolve("closed")));
    const call = client.call(Demo, "hang", kv(""));
    await expect.poll(() => demo.lastCall !== undefined).toBe(true);
    demo.server.close();
    expect(await kindOfRejection(call)).toBe("unavailable: ttrpc: closed: unavailable");
    expect(await closed).toBe("closed");
    expect(await kindOfRejection(client.call(Demo, "echo", kv("")))).toMatch(/^unavailable: ttrpc: closed/);
    await expect.poll(() => demo.lastCall?.signal.aborted).toBe(true);
  });

  it("refuses to send more than 4 MiB, both ways, and lives on", () =>
    withClient(async (client) => {
      const big = kv("", "x".repeat(maxFrameLength));
      expect(await kindOfRejection(client.call(Demo, "echo", big))).toMatch(/^resource-exhausted/);
      // The request fits exactly; so does the answer.
      const room = maxFrameLength - 200;
      expect((await client.call(Demo, "echo", kv("", "y".repeat(room)))).value.length).toBe(room);
    }));

  it("streams from the server", () =>
    withClient(async (client) => {
      const items = await collect(client.serverStream(Demo, "count", kv("200", "v")));
      expect(items.map((item) => item.key)).toEqual(Array.from({ length: 200 }, (_, i) => String(i)));
      const failing = client.serverStream(Demo, "count", kv("2", "then fail"));
      expect((await failing.next()).value).toEqual(kv("0", "then fail"));
      expect((await failing.next()).value).toEqual(kv("1", "then fail"));
      expect(await kindOfRejection(failing.next())).toBe("not-found: the rest: not found");
      expect(await collect(client.serverStream(Demo, "count", kv("0")))).toEqual([]);
    }));

  it("leaves a demo.server stream early", () =>
    withClient(async (client) => {
      for await (const item of client.serverStream(Demo, "count", kv("100"))) if (item.key === "3") break;
      expect(await client.call(Demo, "echo", kv("ok"))).toEqual(kv("ok"));
    }));

  it("streams to the server", () =>
    withClient(async (client) => {
      const numbers = Array.from({ length: 300 }, (_, i) => kv(String(i)));
      expect(await client.clientStream(Demo, "sum", numbers)).toEqual(kv(String((299 * 300) / 2)));
      expect(await client.clientStream(Demo, "sum", [])).toEqual(kv("0"));
    }));

  it("streams both ways", () =>
    withClient(async (client) => {
      const requests = async function* (): AsyncGenerator<KeyValue> {
        for (const word of ["a", "b", "c"]) {
          await sleep(5);
          yield kv(word);
        }
      };
      expect((await collect(client.duplex(Demo, "chat", requests()))).map((item) => item.key)).toEqual(["A", "B", "C"]);
      expect(demo.chatEnded).toBe("end");
    }));

  it("fails a stream whose reader is too slow for a second, and keeps the connection", () =>
    withClient(async (client) => {
      demo.sumGate = sleep(1800);
      const call = client.clientStream(
        Demo,
        "sum",
        Array.from({ length: 500 }, () => kv("1")),
      );
      expect(await kindOfRejection(call)).toMatch(/^invalid-argument: .*queue of the stream is full/);
      expect(await client.call(Demo, "echo", kv("ok"))).toEqual(kv("ok"));
    }));

  it("holds a slow reader's messages when it catches up within a second", () =>
    withClient(async (client) => {
      demo.sumGate = sleep(500);
      const ones = Array.from({ length: 5000 }, () => kv("1"));
      expect(await client.clientStream(Demo, "sum", ones)).toEqual(kv("5000"));
    }));
});

describe("server lifecycle", () => {
  it("makes the socket with its mode, replaces a stale one and refuses a live one", async () => {
    expect((await stat(demo.path)).mode & 0o777).toBe(0o600);
    const second = new TtrpcServer();
    expect(await kindOfRejection(second.listen(demo.path))).toMatch(/^failed-precondition: .*another process/);
    const stale = join(demo.dir, "stale");
    await writeFile(stale, "");
    await second.listen(stale, 0o660);
    expect((await stat(stale)).mode & 0o777).toBe(0o660);
    second.close();
  });

  it("shuts down: idle connections at once, busy ones after their call", async () => {
    const idle = await TtrpcClient.connect(demo.path);
    const busy = await TtrpcClient.connect(demo.path);
    await idle.call(Demo, "echo", kv("x"));
    const call = busy.call(Demo, "hang", kv(""), { timeoutMs: 300 });
    await expect.poll(() => demo.lastCall?.timeout !== undefined).toBe(true);
    const done = demo.server.shutdown();
    await expect.poll(() => idle.closed).toBe(true);
    expect(busy.closed).toBe(false);
    expect(await kindOfRejection(call)).toMatch(/^deadline-exceeded/);
    await done;
    await expect.poll(() => busy.closed).toBe(true);
    await expect(TtrpcClient.connect(demo.path)).rejects.toThrow(/ENOENT|ECONNREFUSED/);
  });

  it("CVE-2020-15257: refuses a peer of another user before reading from it", async () => {
    const refused: string[] = [];
    const guarded = new TtrpcServer({
      peerCredentials: (fd) => ({ pid: fd, uid: 12345, gid: 0 }),
      onRefused: (reason) => refused.push(reason),
    });
    guarded.register(Demo, handlers);
    await guarded.listen(join(demo.dir, "guarded"));
    const client = await TtrpcClient.connect(join(demo.dir, "guarded"));
    expect(await kindOfRejection(client.call(Demo, "echo", kv("")))).toMatch(/^unavailable: ttrpc: closed/);
    expect(refused).toEqual([expect.stringContaining("uid 12345")]);
    expect(demo.lastCall).toBeUndefined();
    guarded.close();
  });
});
