import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import * as sys from "./index.ts";

let dir: string;
beforeEach(() => {
  dir = fs.mkdtempSync(join(tmpdir(), "ctrd-sys-"));
});
afterEach(() => {
  for (const mount of sys.readMountInfo().reverse()) {
    if (mount.mountPoint.startsWith(`${dir}/`)) sys.unmount(mount.mountPoint, sys.UnmountFlag.Detach);
  }
  fs.rmSync(dir, { recursive: true });
});

function makeDir(...names: string[]): string {
  const path = join(dir, ...names);
  fs.mkdirSync(path, { recursive: true });
  return path;
}

function optionsOf(mountPoint: string): string[] | undefined {
  return sys.readMountInfo().findLast((mount) => mount.mountPoint === mountPoint)?.options;
}

function errorOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe("errors", () => {
  it("carry errno name, number, call and path", () => {
    const error = errorOf(() => sys.unmount(join(dir, "none")));
    expect(error).toBeInstanceOf(sys.SysError);
    expect(error).toMatchObject({ code: "ENOENT", errno: 2, syscall: "umount2", path: join(dir, "none") });
    expect(String(error)).toBe(`SysError: umount2 "${dir}/none": ENOENT: no such file or directory`);
  });

  it("refuse a path with NUL instead of cutting it", () => {
    expect(errorOf(() => sys.mkdirat(sys.AT_FDCWD, `${dir}/a\0b`, 0o755))).toMatchObject({ code: "EINVAL" });
    expect(errorOf(() => sys.mkfifo(Buffer.from(`${dir}/a\0b`), 0o600))).toMatchObject({ code: "EINVAL" });
    expect(fs.readdirSync(dir)).toEqual([]);
  });

  it("are right in worker threads", async () => {
    const code = `
      const { parentPort } = require("node:worker_threads");
      import(${JSON.stringify(new URL("./index.ts", import.meta.url).href)}).then((sys) => {
        try { sys.unmount("/nonexistent-ctrd"); } catch (error) { parentPort.postMessage(error.code); }
      });`;
    const worker = new Worker(code, { eval: true, execArgv: ["--conditions=ctrd-source"] });
    const [message] = await once(worker, "message");
    expect(message).toBe("ENOENT");
    await worker.terminate();
  });
});

describe("mountAll", () => {
  it("binds, and makes a bind read-only with its other flags", () => {
    const source = makeDir("source");
    const target = makeDir("target");
    fs.writeFileSync(join(source, "file"), "x");
    sys.mountAll([{ type: "bind", source, target: "", options: ["rbind", "ro", "nosuid", "nodev"] }], target);
    expect(fs.readFileSync(join(target, "file"), "utf8")).toBe("x");
    expect(optionsOf(target)).toEqual(expect.arrayContaining(["ro", "nosuid", "nodev"]));
    expect(() => fs.writeFileSync(join(target, "file"), "y")).toThrow(/EROFS/);
    fs.writeFileSync(join(source, "file"), "y");
    sys.unmountAll(target);
    expect(optionsOf(target)).toBeUndefined();
  });

  it("passes data words, sets propagation, and mounts inside the target", () => {
    const target = makeDir("target");
    sys.mountAll(
      [{ type: "tmpfs", source: "tmpfs", target: "", options: ["size=1m", "mode=0711", "noexec", "rshared"] }],
      target,
    );
    expect(fs.statSync(target).mode & 0o7777).toBe(0o711);
    expect(sys.readMountInfo().find((mount) => mount.mountPoint === target)?.tags[0]).toMatch(/^shared:/);
    fs.mkdirSync(join(target, "inner"));
    fs.symlinkSync("/inner", join(target, "link"));
    sys.mountAll([{ type: "tmpfs", source: "tmpfs", target: "link", options: [] }], target);
    expect(optionsOf(join(target, "inner"))).toBeDefined();
    sys.unmountAll(join(target, "inner"));
    sys.unmountAll(target);
  });

  it("takes back the first mount when the second fails", () => {
    const target = makeDir("target");
    const mounts = [
      { type: "tmpfs", source: "tmpfs", target: "", options: [] },
      { type: "bind", source: join(dir, "none"), target: "", options: ["bind"] },
    ];
    expect(errorOf(() => sys.mountAll(mounts, target))).toMatchObject({ code: "ENOENT" });
    expect(optionsOf(target)).toBeUndefined();
  });

  it.each([3, 400])("mounts an overlay of %i lower directories", (count) => {
    const root = makeDir("a-rather-long-directory-name-such-as-snapshotters-have", "snapshots");
    const lowers = Array.from({ length: count }, (_, index) => makeDir(root.slice(dir.length), String(index), "fs"));
    for (const [index, lower] of lowers.entries()) fs.writeFileSync(join(lower, `file${index}`), String(index));
    const [upper, work, target] = ["upper", "work", "target"].map((name) => makeDir(name)) as [string, string, string];
    const options = [`workdir=${work}`, `upperdir=${upper}`, `lowerdir=${lowers.join(":")}`, "index=off"];
    sys.mountAll([{ type: "overlay", source: "overlay", target: "", options }], target);
    expect(fs.readdirSync(target)).toHaveLength(count);
    fs.writeFileSync(join(target, "new"), "new");
    expect(fs.readFileSync(join(upper, "new"), "utf8")).toBe("new");
    sys.unmountAll(target);
  });

  it("runs the mount helper of fuse types and reports that it is missing", () => {
    const mounts = [{ type: "fuse9.x", source: "x", target: "", options: [] }];
    expect(errorOf(() => sys.mountAll(mounts, makeDir("target")))).toMatchObject({ code: "ENODEV" });
    const fuse = [{ type: "fuse3.sshfs", source: "x", target: "", options: [] }];
    expect(String(errorOf(() => sys.mountAll(fuse, makeDir("target"))))).toMatch(/mount\.fuse3/);
  });
});

describe("unmountAll", () => {
  it("removes stacked mounts and accepts what is not mounted or not there", () => {
    const target = makeDir("target");
    for (let count = 0; count < 3; count++) sys.mount("tmpfs", target, "tmpfs");
    sys.unmountAll(target);
    expect(optionsOf(target)).toBeUndefined();
    sys.unmountAll(target);
    sys.unmountAll(join(dir, "none"));
  });
});

describe("at-family", () => {
  it("makes, reads, renames and removes beneath a directory", () => {
    const fd = sys.openat(sys.AT_FDCWD, dir, sys.OpenFlag.Path | sys.OpenFlag.Directory);
    sys.mkdirat(fd, "sub", 0o755);
    sys.symlinkat("sub/../x", fd, "link");
    expect(sys.readlinkat(fd, "link").toString()).toBe("sub/../x");
    const file = sys.openat(fd, "file", sys.OpenFlag.Creat | sys.OpenFlag.Excl | sys.OpenFlag.WrOnly, 0o600);
    fs.writeSync(file, "data");
    sys.fchown(file, 3, 4);
    sys.fchmod(file, 0o4755);
    sys.utimensat(file, null, sys.omitTime, { seconds: 11, nanos: 12 });
    expect(sys.fstatat(fd, "file")).toMatchObject({ uid: 3, gid: 4, modifyTime: { seconds: 11, nanos: 12 } });
    sys.close(file);
    sys.linkat(fd, "file", fd, "hard");
    sys.fchownat(fd, "link", 7, 8);
    sys.utimensat(fd, "file", { seconds: -5, nanos: 6 }, { seconds: 4_000_000_000, nanos: 999_999_999 });
    expect(sys.fstatat(fd, "file")).toMatchObject({
      mode: 0o104755,
      links: 2,
      size: 4,
      accessTime: { seconds: -5, nanos: 6 },
      modifyTime: { seconds: 4_000_000_000, nanos: 999_999_999 },
      inode: fs.statSync(join(dir, "file"), { bigint: true }).ino,
    });
    expect(sys.fstatat(fd, "link")).toMatchObject({ uid: 7, gid: 8 });
    expect(errorOf(() => sys.renameat2(fd, "file", fd, "hard", sys.RenameFlag.NoReplace))).toMatchObject({
      code: "EEXIST",
    });
    sys.renameat2(fd, "file", fd, "sub/moved");
    sys.unlinkat(fd, "hard");
    expect(errorOf(() => sys.unlinkat(fd, "sub", sys.AtFlag.RemoveDir))).toMatchObject({ code: "ENOTEMPTY" });
    expect(fs.readdirSync(dir).sort()).toEqual(["link", "sub"]);
    sys.close(fd);
  });

  it("sets close-on-exec", () => {
    const fd = sys.openat(sys.AT_FDCWD, dir, sys.OpenFlag.RdOnly);
    expect(fs.readFileSync(`/proc/self/fdinfo/${fd}`, "utf8")).toMatch(/flags:\t02\d{6}\n/);
    sys.close(fd);
  });

  it("makes fifos and devices, also with names that are not UTF-8", () => {
    sys.mkfifo(join(dir, "fifo"), 0o600);
    expect(fs.statSync(join(dir, "fifo")).isFIFO()).toBe(true);
    sys.mknod(Buffer.from([...Buffer.from(`${dir}/`), 0xff]), 0o020600, sys.makeDevice(259, 70_000));
    const fd = sys.openat(sys.AT_FDCWD, dir, sys.OpenFlag.Path);
    expect(sys.fstatat(fd, Buffer.of(0xff))).toMatchObject({ rdevMajor: 259, rdevMinor: 70_000 });
    sys.close(fd);
  });

  it("openat2 stays inside", () => {
    makeDir("root", "etc");
    fs.writeFileSync(join(dir, "secret"), "outside");
    fs.symlinkSync("/secret", join(dir, "root", "absolute"));
    fs.symlinkSync("../secret", join(dir, "root", "up"));
    const fd = sys.openat(sys.AT_FDCWD, join(dir, "root"), sys.OpenFlag.Path);
    const open = (path: string, resolve: number): unknown =>
      errorOf(() => sys.close(sys.openat2(fd, path, sys.OpenFlag.RdOnly, 0, resolve)));
    expect(open("etc", sys.ResolveFlag.Beneath)).toBeUndefined();
    expect(open("up", sys.ResolveFlag.Beneath)).toMatchObject({ code: "EXDEV" });
    expect(open("absolute", sys.ResolveFlag.InRoot)).toMatchObject({ code: "ENOENT" });
    expect(open("up", sys.ResolveFlag.NoSymlinks)).toMatchObject({ code: "ELOOP" });
    sys.close(fd);
  });
});

describe("xattrs", () => {
  it("are set, read, listed and removed on the link itself", () => {
    const link = join(dir, "link");
    fs.symlinkSync("nowhere", link);
    expect(sys.lgetxattr(link, "trusted.a")).toBeUndefined();
    expect(sys.llistxattr(link)).toEqual([]);
    sys.lsetxattr(link, "trusted.a", Buffer.alloc(1000, 7));
    sys.lsetxattr(link, "trusted.empty", new Uint8Array(0));
    expect(sys.lgetxattr(link, "trusted.a")).toEqual(Buffer.alloc(1000, 7));
    expect(sys.lgetxattr(link, "trusted.empty")).toEqual(Buffer.alloc(0));
    expect(sys.llistxattr(link).sort()).toEqual(["trusted.a", "trusted.empty"]);
    expect(errorOf(() => sys.lsetxattr(link, "trusted.a", Buffer.of(1), sys.XattrFlag.Create))).toMatchObject({
      code: "EEXIST",
    });
    sys.lremovexattr(link, "trusted.a");
    expect(errorOf(() => sys.lremovexattr(link, "trusted.a"))).toMatchObject({ code: "ENODATA" });
  });
});

describe("files", () => {
  it("locks, allocates, finds holes, copies and flushes", () => {
    const path = join(dir, "file");
    const one = fs.openSync(path, "w+");
    const two = fs.openSync(path, "r");
    sys.flock(one, sys.LockOperation.Exclusive);
    const busy = errorOf(() => sys.flock(two, sys.LockOperation.Shared | sys.LockOperation.NonBlocking));
    expect(busy).toMatchObject({ code: "EAGAIN" });
    sys.flock(one, sys.LockOperation.Unlock);
    fs.ftruncateSync(one, 1 << 20);
    fs.writeSync(one, Buffer.alloc(4096, 1), 0, 4096, 512 << 10);
    expect(sys.seekData(one, 0)).toBe(512 << 10);
    expect(sys.seekHole(one, 512 << 10)).toBe((512 << 10) + 4096);
    sys.fallocate(one, sys.FallocateMode.PunchHole | sys.FallocateMode.KeepSize, 512 << 10, 4096);
    expect(errorOf(() => sys.seekData(one, 0))).toMatchObject({ code: "ENXIO" });
    const copy = fs.openSync(join(dir, "copy"), "w");
    fs.writeSync(one, "hello", 0);
    expect(sys.copyFileRange(two, copy, 5)).toBe(5);
    expect(fs.readFileSync(join(dir, "copy"), "utf8")).toBe("hello");
    sys.fsync(copy);
    sys.syncfs(copy);
    for (const fd of [one, two, copy]) fs.closeSync(fd);
  });

  it("reflinks, or says that the file system cannot", () => {
    const [one, two] = [fs.openSync(join(dir, "a"), "w+"), fs.openSync(join(dir, "b"), "w+")];
    const error = errorOf(() => sys.reflink(one, two));
    if (error !== undefined) expect(error).toMatchObject({ syscall: "ioctl FICLONE", code: "EOPNOTSUPP" });
    for (const fd of [one, two]) fs.closeSync(fd);
  });

  it("reads a file system's status", () => {
    expect(sys.statfs("/proc").type).toBe(0x9fa0);
    const target = makeDir("tmpfs");
    sys.mount("tmpfs", target, "tmpfs", 0, "size=1m");
    expect(sys.statfs(target)).toMatchObject({ type: sys.FileSystemMagic.tmpfs, nameLength: 255 });
    const status = sys.statfs(target);
    expect(status.blocks * BigInt(status.blockSize)).toBe(1n << 20n);
    sys.unmountAll(target);
  });
});

describe("processes and sockets", () => {
  it("signals through a pidfd", async () => {
    const child = spawn("sleep", ["60"]);
    const pidfd = sys.pidfdOpen(child.pid ?? 0);
    sys.pidfdSendSignal(pidfd, 15);
    const [, signal] = await once(child, "exit");
    expect(signal).toBe("SIGTERM");
    expect(errorOf(() => sys.pidfdSendSignal(pidfd, 0))).toMatchObject({ code: "ESRCH" });
    sys.close(pidfd);
    sys.prctlSetSubreaper(true);
    sys.prctlSetSubreaper(false);
  });

  it("moves one worker thread into namespaces", async () => {
    const code = `
      const { parentPort } = require("node:worker_threads");
      const { readlinkSync, openSync } = require("node:fs");
      import(${JSON.stringify(new URL("./index.ts", import.meta.url).href)}).then((sys) => {
        const here = openSync("/proc/thread-self/ns/net");
        sys.unshare(sys.CloneFlag.NewNet);
        const inside = readlinkSync("/proc/thread-self/ns/net");
        sys.setns(here, sys.CloneFlag.NewNet);
        parentPort.postMessage([inside, readlinkSync("/proc/thread-self/ns/net")]);
      });`;
    const worker = new Worker(code, { eval: true, execArgv: ["--conditions=ctrd-source"] });
    const [[inside, after]] = (await once(worker, "message")) as [[string, string]];
    const own = fs.readlinkSync("/proc/self/ns/net");
    expect(inside).not.toBe(own);
    expect(after).toBe(own);
    await worker.terminate();
  });

  it("tells who connected", async () => {
    const server = net.createServer().listen(join(dir, "sock"));
    await once(server, "listening");
    const client = net.connect(join(dir, "sock"));
    const [socket] = (await once(server, "connection")) as [net.Socket & { _handle: { fd: number } }];
    expect(sys.peerCredentials(socket._handle.fd)).toEqual({ pid: process.pid, uid: 0, gid: 0 });
    client.destroy();
    socket.destroy();
    server.close();
  });

  it.each(["path", "abstract"])("notifies a service manager at a %s address", async (kind) => {
    const address = kind === "path" ? join(dir, "notify") : `@ctrd-notify-${process.pid}`;
    const python = spawn("python3", [
      "-c",
      `import socket,sys
s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace("@","\\0",1) if sys.argv[1][0]=="@" else sys.argv[1])
print("ready",flush=True)
print(s.recv(100).decode())`,
      address,
    ]);
    let output = "";
    python.stdout.on("data", (data: Buffer) => (output += data.toString()));
    await once(python.stdout, "data");
    process.env.NOTIFY_SOCKET = address;
    expect(sys.sdNotify("READY=1")).toBe(true);
    delete process.env.NOTIFY_SOCKET;
    await once(python, "close");
    expect(output).toBe("ready\nREADY=1\n");
    expect(sys.sdNotify("READY=1")).toBe(false);
  });
});
