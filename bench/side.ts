/** One of the two daemons that are compared: ctrd or the real containerd, each on its own directories. */
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { createContext, type CallContext } from "@ctrd/core/context";
import { openChannel, type RpcChannel } from "@ctrd/services";
import { mustRun, runCommand, startContainerd, startCtrd, type TempDir, type TestDaemon } from "@ctrd/testkit/fixtures";

export interface Side {
  readonly name: "ours" | "theirs";
  readonly daemon: TestDaemon;
  readonly channel: RpcChannel;
  readonly ctx: CallContext;
  readonly namespace: string;
  /** Runs ctr. @throws unless it exits with 0 */
  ctr(...args: string[]): Promise<string>;
  /** ctr in another namespace. */
  inNamespace(namespace: string): (...args: string[]) => Promise<string>;
  close(): Promise<void>;
}

interface SideOptions {
  readonly from: "source" | "dist";
  readonly peer: string;
  readonly self: boolean;
}

export async function openSide(name: Side["name"], dir: TempDir, options: SideOptions): Promise<Side> {
  const base = join(dir.path, name);
  await mkdir(base, { recursive: true });
  const daemon =
    name === "ours" && !options.self
      ? await startCtrd({ dir: base, from: options.from })
      : await startPeer(base, options.peer);
  const namespace = `bench-${name}-${process.pid}`;
  const channel = openChannel(daemon.address);
  await channel.ready();
  const inNamespace =
    (wanted: string) =>
    async (...args: string[]): Promise<string> => {
      const { exitCode, stdout, stderr } = await daemon.ctr(args, { namespace: wanted, timeoutMs: 300_000 });
      if (exitCode !== 0) throw new Error(`${name}: ctr ${args.join(" ")}: exit code ${exitCode}\n${stdout}${stderr}`);
      return stdout;
    };
  return {
    name,
    daemon,
    channel,
    ctx: createContext({ namespace }),
    namespace,
    ctr: inNamespace(namespace),
    inNamespace,
    async close() {
      channel.close();
      await runCommand("ctr", ["-a", daemon.address, "namespaces", "rm", "--cgroup", namespace]);
      await daemon[Symbol.asyncDispose]();
    },
  };
}

/** The fixture starts `containerd` from the PATH, so another binary is put in front of it under that name. */
async function startPeer(base: string, peer: string): Promise<TestDaemon> {
  if (peer === "containerd") return startContainerd({ dir: base });
  const bin = join(base, "bin");
  await mkdir(bin);
  await symlink(peer, join(bin, "containerd"));
  await mustRun(join(bin, "containerd"), ["--version"]);
  const path = process.env["PATH"] ?? "";
  process.env["PATH"] = `${bin}:${path}`;
  try {
    return await startContainerd({ dir: base });
  } finally {
    process.env["PATH"] = path;
  }
}
