// Streams of processes: none lost, whole both ways, and what is no pipe.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, readFile, stat, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { PassThrough, Readable, Writable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { silentLogger } from "@ctrd/core/log";
import { withTty } from "@ctrd/oci";
import { nodeBinary, randomBytesOf, workspaceRoot } from "@ctrd/testkit/fixtures";
import { expect, it } from "vitest";
import { forEachDaemon, textOf } from "../test/harness.ts";
import type { ContainerProcess } from "./index.ts";
import { connect, logFile, logProgram, logUri, nullIo, streams } from "./index.ts";

const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");
const out = (process: ContainerProcess): Promise<string> => textOf(process.stdout);
const size = 10 << 20;

/** The sum of everything that was written into it. */
class Collector extends Writable {
  readonly chunks: Buffer[] = [];
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.chunks.push(chunk);
    setImmediate(done);
  }
}

forEachDaemon("streams", (h) => {
  it("10 MB go in and come out, written by hand", async () => {
    const data = Buffer.from(randomBytesOf("stdin", size));
    await using container = await h().container("cat", ["cat"]);
    await using task = await container.newTask({ io: streams({ stdin: true }) });
    await task.start();
    const [stdin, stdout] = [task.stdin, task.stdout];
    if (stdin === undefined || stdout === undefined) throw new Error("no streams");
    const [echoed] = await Promise.all([buffer(stdout), pipeline(Readable.from(pieces(data)), stdin)]);
    expect(sha256(echoed)).toBe(sha256(data));
    expect(await task.wait()).toMatchObject({ exitCode: 0 });
  });

  it("10 MB go through an exec, from a stream to a slow one, which is not ended", async () => {
    const data = Buffer.from(randomBytesOf("exec", size));
    await using container = await h().container("execcat", ["sleep", "1000"]);
    await using task = await container.newTask({ io: nullIo });
    await task.start();
    const collector = new Collector({ highWaterMark: 4096 });
    const io = streams({ stdin: Readable.from(pieces(data)), stdout: collector });
    await using process = await task.exec("cat", { process: { args: ["cat"] }, io });
    expect(process.stdout).toBeUndefined();
    await process.start();
    await process.wait();
    await process.output();
    expect(sha256(Buffer.concat(collector.chunks))).toBe(sha256(data));
    expect(collector.writable).toBe(true);
    await process.delete();
    for (const event of ["close", "error", "drain"]) expect(collector.listenerCount(event)).toBe(0);
  });

  it("what is written before the start is read after it, and an early end is an end", async () => {
    await using container = await h().container("early", ["cat"]);
    await using task = await container.newTask({ io: streams({ stdin: true }) });
    task.stdin?.end("before the start\n");
    await task.start();
    expect(await out(task)).toBe("before the start\n");
    expect(await task.wait()).toMatchObject({ exitCode: 0 });
  });

  it("output that nobody reads does not hold up the end", async () => {
    await using container = await h().container("unread", ["sh", "-c", "head -c 20000 /dev/zero"]);
    await using task = await container.newTask();
    await task.start();
    await task.wait();
    expect(await task.delete()).toMatchObject({ exitCode: 0 });
  });

  it("a reader that goes away does not stop the process", async () => {
    await using container = await h().container("gone", ["sh", "-c", "head -c 3000000 /dev/zero; exit 4"]);
    const sink = new PassThrough();
    await using task = await container.newTask({ io: streams({ stdout: sink, stderr: false }) });
    await task.start();
    await once(sink, "data");
    sink.destroy();
    expect(await task.wait()).toMatchObject({ exitCode: 4 });
  });

  it("a terminal: size, resize, input, one stream", async () => {
    await using container = await h().container("tty", ["sh"], { specOptions: [withTty()] });
    await using task = await container.newTask({ io: streams({ stdin: true, terminal: true }) });
    expect(task.stderr).toBeUndefined();
    const output = out(task);
    await task.start();
    await task.resize(123, 45);
    task.stdin?.write("stty size; echo to-stderr >&2; test -t 0 && exit 9\n");
    expect(await task.wait()).toMatchObject({ exitCode: 9 });
    expect(await output).toMatch(/\r\n45 123\r\nto-stderr\r\n/);
  });

  it("an exec with a terminal", async () => {
    await using container = await h().container("exectty", ["sleep", "1000"]);
    await using task = await container.newTask({ io: nullIo });
    await task.start();
    const args = ["sh", "-c", "tty; test -t 0 && echo input"];
    await using process = await task.exec("tty", { process: { args, terminal: true } });
    const output = out(process);
    await process.start();
    await process.wait();
    expect(await output).toMatch(/^\/dev\/pts\/0\r\ninput\r\n$/);
  });

  it("the container's own terminal is the default", async () => {
    await using container = await h().container("own", ["sh", "-c", "test -t 1 && echo yes"], {
      specOptions: [withTty()],
    });
    await using task = await container.newTask();
    const output = out(task);
    await task.start();
    await task.wait();
    expect(await output).toBe("yes\r\n");
  });

  it("a source that fails ends stdin, a sink that fails loses what follows; both are told in the log", async () => {
    const told: string[] = [];
    const warn = (_fields: unknown, message: string): void => void told.push(message);
    const log = { ...silentLogger, warn };
    await using client = await connect(h().daemon.address, { log, fifoDirectory: h().path("fifo") });
    await using container = await h().container("failing", ["sh", "-c", "cat; head -c 500000 /dev/zero; exit 2"]);
    const sink = new Writable({ write: (_chunk, _encoding, done) => done(new Error("the disk is full")) });
    async function* source(): AsyncGenerator<string> {
      yield "a little\n";
      throw new Error("the source is broken");
    }
    const io = streams({ stdin: Readable.from(source()), stdout: sink });
    await using task = await (await client.loadContainer(container.id)).newTask({ io });
    await task.start();
    expect(await task.wait()).toMatchObject({ exitCode: 2 });
    expect(told.sort()).toEqual([
      "output cannot be handed on, the rest is thrown away",
      "the source of stdin failed, stdin ends here",
    ]);
  });

  it("a program's own streams; it ends by itself, though its stdin is still open", async () => {
    await using container = await h().container("inherit", ["sh", "-c", "echo out; echo err >&2; read line; exit 6"]);
    const script = `
      import { connect, inherit } from "@ctrd/client";
      const [address, id, fifoDirectory] = process.argv.slice(1);
      await using client = await connect(address, { fifoDirectory });
      await using task = await (await client.loadContainer(id)).newTask({ io: inherit() });
      await task.start();
      process.exitCode = (await task.wait()).exitCode;`;
    const flags = ["--conditions=ctrd-source", "--disable-warning=ExperimentalWarning", "--input-type=module", "-e"];
    const args = [...flags, script, h().daemon.address, container.id, h().path("fifo")];
    const child = spawn(nodeBinary(), args, { cwd: workspaceRoot });
    const outputs = Promise.all([text(child.stdout), text(child.stderr)]);
    child.stdin.write("a line, and no end\n");
    const [code] = (await once(child, "exit", { signal: AbortSignal.timeout(20_000) })) as [number];
    child.stdin.destroy();
    expect([code, ...(await outputs)]).toEqual([6, "out\n", "err\n"]);
  });

  it("no streams", async () => {
    await using container = await h().container("null", ["sh", "-c", "readlink /proc/self/fd/1; cat"]);
    await using task = await container.newTask({ io: nullIo });
    await task.start();
    expect([task.stdin, task.stdout, task.stderr]).toEqual([undefined, undefined, undefined]);
    expect(await task.wait()).toMatchObject({ exitCode: 0 });
  });

  it("a log file", async () => {
    const path = h().path("logs of ?#%/task.log");
    // A shim of the 1.6 line may leave what a program says in its last moment when the machine is busy.
    await using container = await h().container("file", ["sh", "-c", "echo out; echo err >&2; sleep 1"]);
    await using task = await container.newTask({ io: logFile(path) });
    await task.start();
    await task.wait();
    await task.delete();
    expect((await readFile(path, "utf8")).split("\n").sort()).toEqual(["", "err", "out"]);
    expect(() => logFile("relative")).toThrow(/absolute/);
    expect(() => logUri("no-uri")).toThrow(/<scheme>/);
  });

  it("a logging program", async () => {
    const [program, log] = [h().path("logger"), h().path("logged")];
    const script = `#!/bin/sh\nexec 5>&-\necho "$CONTAINER_ID $*" > ${log}\ncat <&3 >> ${log}\n`;
    await writeFile(program, script);
    await chmod(program, 0o755);
    await using container = await h().container("binary", ["sh", "-c", "echo to the logger; sleep 1"]);
    await using task = await container.newTask({ io: logProgram(program, { key: "a b" }) });
    await task.start();
    await task.wait();
    await task.delete();
    const expected = `${container.id} key a b\nto the logger\n`;
    await expect.poll(() => readFile(log, "utf8"), { timeout: 5_000 }).toBe(expected);
  });

  it("FIFOs are where and how containerd's client makes them, and go with the process", async () => {
    await using container = await h().container("fifos", ["sleep", "1000"]);
    await using task = await container.newTask({ io: streams({ stdin: true }) });
    const { process } = await h().client.services.taskService.get(h().client.context(), {
      containerId: container.id,
      execId: "",
    });
    const pattern = new RegExp(`^${h().path("fifo")}/[^/]+/${container.id}-(stdin|stdout|stderr)$`);
    const paths = [process?.stdin ?? "", process?.stdout ?? "", process?.stderr ?? ""];
    for (const path of paths) {
      expect(path).toMatch(pattern);
      const { mode } = await stat(path);
      expect(mode & 0o170777).toBe(0o010700);
    }
    await task.delete({ kill: true });
    for (const path of paths) await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("attaching: another client takes the streams over", async () => {
    await using container = await h().container("attach", ["sh", "-c", "while read line; do echo got $line; done"]);
    const first = await container.newTask({ io: streams({ stdin: true }) });
    await first.start();
    first.stdin?.write("zero\n");
    await once(first.stdout ?? process, "data");
    first.detach();
    await using other = await connect(h().daemon.address);
    const loaded = await other.loadContainer(container.id);
    await using second = await loaded.task({ attach: { stdin: true } });
    const lines: string[] = [];
    second.stdout?.on("data", (chunk: Buffer) => lines.push(chunk.toString()));
    second.stdin?.write("one\n");
    await expect.poll(() => lines.join("")).toBe("got one\n");
    second.stdin?.end();
    expect(await second.wait()).toMatchObject({ exitCode: 0 });
  });
});

function* pieces(data: Buffer): Generator<Buffer> {
  for (let at = 0; at < data.length; at += 100_000) yield data.subarray(at, at + 100_000);
}
