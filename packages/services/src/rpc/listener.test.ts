import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { listen } from "./listener.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-listen-"));
});
afterEach(() => rm(directory, { recursive: true }));

async function closing<T>(path: string, work: () => Promise<T>): Promise<T> {
  const server = createServer();
  await listen(server, { path });
  try {
    return await work();
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

describe("listen on a unix socket", () => {
  it("makes the parent and sets modes, and removes the socket at the end", async () => {
    const path = join(directory, "made", "s.sock");
    await closing(path, async () => {
      expect((await stat(path)).mode & 0o777).toBe(0o660);
      expect((await stat(join(directory, "made"))).mode & 0o777).toBe(0o770);
    });
    expect(existsSync(path)).toBe(false);
  });

  it("sets the owner", async () => {
    const path = join(directory, "s.sock");
    const server = createServer();
    await listen(server, { path, uid: 12, gid: 34 });
    expect(await stat(path)).toMatchObject({ uid: 12, gid: 34 });
    await new Promise((resolve) => server.close(resolve));
  });

  it("refuses an address that another server has, and leaves it alone", async () => {
    const path = join(directory, "s.sock");
    await closing(path, async () => {
      await expect(listen(createServer(), { path })).rejects.toMatchObject({
        kind: "failed-precondition",
        message: expect.stringMatching(new RegExp(`in use by .*\\(pid ${process.pid}\\).* --address`)),
      });
      expect(existsSync(path)).toBe(true);
    });
  });

  it("replaces the socket of a process that was killed", async () => {
    const path = join(directory, "s.sock");
    const script = join(directory, "listen.cjs");
    await writeFile(script, `require("net").createServer().listen(process.argv[2], () => process.send("ready"));`);
    const child = fork(script, [path], { execArgv: [] });
    await once(child, "message");
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(existsSync(path)).toBe(true);
    await closing(path, async () => {
      await expect(listen(createServer(), { path })).rejects.toMatchObject({ kind: "failed-precondition" });
    });
  });

  it("refuses files that are no sockets, long and relative paths", async () => {
    const file = join(directory, "file");
    await writeFile(file, "precious");
    await expect(listen(createServer(), { path: file })).rejects.toMatchObject({ kind: "failed-precondition" });
    expect(existsSync(file)).toBe(true);
    const long = join(directory, "x".repeat(105 - directory.length));
    await expect(listen(createServer(), { path: long })).rejects.toMatchObject({
      kind: "invalid-argument",
      message: expect.stringContaining("at most 104"),
    });
    await expect(listen(createServer(), { path: "s.sock" })).rejects.toMatchObject({ kind: "invalid-argument" });
  });
});
