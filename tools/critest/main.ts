/**
 * `npm run conformance:cri`: Kubernetes' own tests of a container runtime against ctrd, with images of our own, in a network
 * namespace of its own. Arguments go on to critest (`--ginkgo.focus=…`). The report is left in `.host/critest.xml`. Shim and
 * runc are the newer ones of `tools/setup-host.sh` (2.3.4 and 1.5.2); `CRITEST_SHIM=` and `CRITEST_RUNC=` name others, and
 * empty mean Debian's. `CRITEST_DAEMON=containerd` tests the real one, which takes Debian's shim.
 *
 * critest's benchmarks, for the one and the other with the same shim and runc (its figures are written there):
 *
 * ```sh
 * export CRITEST_SHIM= CRITEST_RUNC=
 * npm run conformance:cri -- -benchmark -benchmarking-output-dir=/tmp/ours
 * CRITEST_DAEMON=containerd npm run conformance:cri -- -benchmark -benchmarking-output-dir=/tmp/theirs
 * ```
 *
 * @module
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, rmdirSync } from "node:fs";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "@ctrd/core/errors";
import type { TestDaemon } from "@ctrd/testkit/fixtures";
import { startContainerd, startCtrd, startRegistry, tempDir, workspaceRoot } from "@ctrd/testkit/fixtures";
import { CloneFlag, setInterfaceUp, unshare } from "@ctrd/sys";
import { pushCritestImages } from "./images.ts";
import { summarize } from "./report.ts";

/** The digest that critest has in its program; the same length as any other. */
const builtInDigest = "9700f9a2f5bf2c45f2f605a0bd3bce7cf37420ec9d3ed50ac2758413308766bf";
const registries = ["registry.k8s.io", "k8s.gcr.io", "gcr.io", "docker.io"];
const network = (directory: string): unknown => ({
  cniVersion: "1.0.0",
  name: "critest",
  plugins: [
    {
      type: "bridge",
      bridge: "critest0",
      isGateway: true,
      ipMasq: true,
      promiscMode: true,
      ipam: {
        type: "host-local",
        dataDir: join(directory, "ipam"),
        ranges: [[{ subnet: "10.77.0.0/16" }]],
        routes: [{ dst: "0.0.0.0/0" }],
      },
    },
    { type: "portmap", capabilities: { portMappings: true } },
  ],
});

const report = join(workspaceRoot, ".host/critest.xml");

/** The runtime that pods run in: the newer shim and runc, which can do what Debian's cannot. */
const newer = {
  shim: join(workspaceRoot, ".host/bin/containerd-shim-runc-v2"),
  runc: join(workspaceRoot, ".host/bin/runc"),
};

process.exitCode = await main();
removeEmptyDirectories();

async function main(): Promise<number> {
  unshare(CloneFlag.NewNet);
  setInterfaceUp("lo");
  await using directory = await tempDir("critest-");
  await using registry = await startRegistry();
  const digest = await pushCritestImages(registry);
  await writeSettings(directory.path, registry.url);
  const critest = await patchedCritest(directory.path, digest.replace("sha256:", ""));
  await using daemon = await start(directory.path);
  const code = await run(critest, daemon);
  process.stdout.write(summarize(await readFile(report, "utf8")));
  return code;
}

function start(directory: string): Promise<TestDaemon> {
  if (process.env["CRITEST_DAEMON"] !== "containerd") return startCtrd({ extraConfig: daemonConfig(directory) });
  return startContainerd({ cri: true, extraConfig: containerdConfig(directory) });
}

/** The same in the layout of containerd 1.6. */
function containerdConfig(directory: string): string {
  const { CRITEST_RUNC: runc = newer.runc } = process.env;
  return `[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "registry.k8s.io/pause:3.10.2"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "${directory}/certs.d"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "${directory}/net.d"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "${runc}"
`;
}

function daemonConfig(directory: string): string {
  const { CRITEST_SHIM: shim = newer.shim, CRITEST_RUNC: runc = newer.runc } = process.env;
  return `[plugins."io.containerd.cri.v1.images".registry]
config_path = "${directory}/certs.d"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/usr/lib/cni"]
conf_dir = "${directory}/net.d"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_path = "${shim}"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "${runc}"
`;
}

/** Where images and networks are. */
async function writeSettings(directory: string, registry: string): Promise<void> {
  for (const host of registries) {
    await mkdir(join(directory, "certs.d", host), { recursive: true });
    const text = `server = "${registry}"\n[host."${registry}"]\ncapabilities = ["pull", "resolve"]\n`;
    await writeFile(join(directory, "certs.d", host, "hosts.toml"), text);
  }
  await mkdir(join(directory, "net.d"));
  await writeFile(join(directory, "net.d/10-critest.conflist"), JSON.stringify(network(directory)));
}

/** critest with the digest of our image in place of the one that it was built with. */
async function patchedCritest(directory: string, digest: string): Promise<string> {
  const program = await readFile(join(workspaceRoot, ".host/bin/critest"));
  for (let at = program.indexOf(builtInDigest); at >= 0; at = program.indexOf(builtInDigest, at)) {
    program.write(digest, at, "latin1");
  }
  const path = join(directory, "critest");
  await writeFile(path, program);
  await chmod(path, 0o755);
  return path;
}

async function run(critest: string, daemon: TestDaemon): Promise<number> {
  const endpoint = `unix://${daemon.address}`;
  const args = [
    `--runtime-endpoint=${endpoint}`,
    `--image-endpoint=${endpoint}`,
    "--ginkgo.no-color",
    `--ginkgo.junit-report=${report}`,
    ...process.argv.slice(2),
  ];
  const child = spawn(critest, args, { stdio: "inherit" });
  const [code] = (await once(child, "exit")) as [number | null];
  if (code !== 0) process.stderr.write(`${daemon.logs().slice(-4000)}\n`);
  return code ?? 1;
}

/** What runc leaves of a namespace when its last container is gone. Others may have containers there. */
function removeEmptyDirectories(): void {
  const cgroups = readdirSync("/sys/fs/cgroup").map((controller) => join("/sys/fs/cgroup", controller, "k8s.io"));
  for (const directory of ["/run/containerd/runc/k8s.io", ...cgroups]) {
    try {
      rmdirSync(directory);
    } catch (error) {
      if (!["ENOENT", "ENOTDIR", "ENOTEMPTY", "EBUSY"].includes(errnoOf(error) ?? "")) throw error;
    }
  }
}
