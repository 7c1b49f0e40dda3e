import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { runProgram } from "./program.ts";

const shell = (script: string, more: { timeoutMs?: number; input?: Uint8Array; signal?: AbortSignal } = {}) =>
  runProgram({ path: "/bin/sh", args: ["-c", script], ...more });

describe("runProgram", () => {
  it("gives input, collects both outputs in order and tells the exit code", async () => {
    const result = await shell("cat; echo err >&2; exit 3", { input: Buffer.from("in\n") });
    expect(result.stdout.toString()).toBe("in\n");
    expect(result.stderr.toString()).toBe("err\n");
    expect(result.combined.length).toBe(7);
    expect(result.end).toEqual({ kind: "exited", code: 3 });
    expect((await shell("kill -9 $$")).end).toEqual({ kind: "signaled", signal: "SIGKILL" });
  });

  it("CVE-2024-21626: passes on descriptors 0, 1, 2 and no other, although the daemon inherited more", () => {
    const script = `
      const { runProgram } = await import(${JSON.stringify(new URL("./program.ts", import.meta.url).href)});
      const { readdirSync } = await import("node:fs");
      const before = readdirSync("/proc/self/fd").includes("9");
      const { stdout } = await runProgram({ path: "/bin/ls", args: ["/proc/self/fd"] });
      console.log(JSON.stringify({ before, fds: stdout.toString().split("\\n").filter(Boolean) }));`;
    const stdio = ["ignore", "pipe", "inherit", ...Array.from({ length: 7 }, () => "pipe" as const)] as const;
    const args = ["--conditions=ctrd-source", "--input-type=module", "-e", script];
    const result = spawnSync(process.execPath, args, { stdio: [...stdio], encoding: "utf8" });
    // 3 is the directory that ls has open.
    expect(JSON.parse(result.stdout)).toEqual({ before: true, fds: ["0", "1", "2", "3"] });
  });

  it("runs the program in a process group of its own", async () => {
    const { stdout } = await shell("echo $$; ps -o pgid= -p $$");
    const [pid, group] = stdout.toString().trim().split(/\s+/);
    expect(group).toBe(pid);
  });

  it("kills the whole group when the time is over or the caller aborts", async () => {
    const marker = `1000.${process.pid}`;
    const script = `sleep ${marker} & wait`;
    const began = Date.now();
    expect((await shell(script, { timeoutMs: 100 })).end).toEqual({ kind: "timed out" });
    await expect(shell(script, { signal: AbortSignal.timeout(100) })).rejects.toThrow(/timeout/);
    expect(Date.now() - began).toBeLessThan(5000);
    const groups = (): string => spawnSync("ps", ["-eo", "args"], { encoding: "utf8" }).stdout;
    await expect.poll(groups).not.toContain(marker);
  });

  it("does not wait for a descendant that keeps the output open", async () => {
    const began = Date.now();
    const result = await shell("sleep 30 & echo $!");
    expect(Date.now() - began).toBeLessThan(5000);
    const pid = Number(result.stdout.toString());
    expect(readFileSync(`/proc/${pid}/comm`, "utf8")).toBe("sleep\n");
    process.kill(pid, "SIGKILL");
  });

  it("tells a program or directory that is missing, and one that is none", async () => {
    await expect(runProgram({ path: "/no/such", args: [] })).rejects.toMatchObject({ code: "ENOENT" });
    const lost = runProgram({ path: "/bin/true", args: [], cwd: "/no/such/dir" });
    await expect(lost).rejects.toMatchObject({ code: "ENOENT" });
    await expect(runProgram({ path: "/dev/null", args: [] })).rejects.toMatchObject({ code: "EACCES" });
    await expect(runProgram({ path: "/bin/echo", args: ["a\0b"] })).rejects.toMatchObject({ code: "EINVAL" });
  });
});
