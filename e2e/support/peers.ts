/** Programs the tests need. A missing one skips the test by name and reason; with CI=true that is a failure. */
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "vitest";
import { findProgram } from "./command.ts";

export const repository: string = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** Which daemon is under test: ours, or the real one that the expectations were taken from. */
export const daemonKind: "ctrd" | "containerd" =
  process.env["CTRD_E2E_DAEMON"] === "containerd" ? "containerd" : "ctrd";

/** The newer ctr (2.x) that tools/setup-host.sh installs. */
export const ctr2: string = process.env["CTRD_CTR2"] ?? `${repository}/.host/bin/ctr2`;

/** The remote snapshotter that tools/setup-host.sh builds. */
export const stargzGrpc: string = process.env["CTRD_STARGZ_GRPC"] ?? `${repository}/.host/bin/containerd-stargz-grpc`;

/** containerd's command line for people, which tools/setup-host.sh builds. */
export const nerdctl: string = process.env["CTRD_NERDCTL"] ?? `${repository}/.host/bin/nerdctl`;

/** The command line of CRI, which tools/setup-host.sh builds. */
export const crictl: string = process.env["CTRD_CRICTL"] ?? `${repository}/.host/bin/crictl`;

/** What decrypts layers for a daemon; tools/setup-host.sh builds it. */
export const ctdDecoder: string = process.env["CTRD_CTD_DECODER"] ?? `${repository}/.host/bin/ctd-decoder`;

/** A plugin of NRI for tests that tools/setup-host.sh builds: packages/nri/test/plugin. */
export const nriPlugin: string = `${repository}/.host/bin/nri-plugin`;

/** A collector of traces that tools/setup-host.sh builds: packages/tracing-otlp/test/sink. */
export const otlpSink: string = `${repository}/.host/bin/otlp-sink`;

/** containerd's shim 2.x with traces switched on when it is built, as tools/setup-host.sh does. */
export const tracedShim: string = `${repository}/.host/bin/containerd-shim-traced`;

/** Newer ones of containerd, its shim and runc, which tools/setup-host.sh builds. */
export const containerd2: string = `${repository}/.host/bin/containerd2`;
export const shim2: string = `${repository}/.host/bin/containerd-shim-runc-v2`;
export const runc2: string = `${repository}/.host/bin/runc`;

/** A shim with the sandbox API that tools/setup-host.sh builds: packages/runtime-v2/test/pods-shim. */
export const podsShim: string = `${repository}/.host/bin/containerd-shim-pods-v1`;

/** gVisor's runtime and shim, which tools/setup-host.sh builds. */
export const runsc: string = `${repository}/.host/bin/runsc`;
export const runscShim: string = `${repository}/.host/bin/containerd-shim-runsc-v1`;

const remedies: Record<string, string> = {
  ctr: "apt-get install containerd",
  "containerd-shim-runc-v2": "apt-get install containerd",
  runc: "apt-get install runc",
  "docker-registry": "apt-get install docker-registry",
  busybox: "apt-get install busybox-static",
  tmux: "apt-get install tmux",
  criu: "apt-get install criu",
  zsh: "apt-get install zsh",
  "ctr-remote": "apt-get install stargz-snapshotter",
  "fuse-overlayfs": "apt-get install fuse-overlayfs",
  "mount.fuse3": "apt-get install fuse3",
  [ctr2]: "tools/setup-host.sh, or set CTRD_CTR2",
  [nerdctl]: "tools/setup-host.sh, or set CTRD_NERDCTL",
  [nriPlugin]: "tools/setup-host.sh",
  [otlpSink]: "tools/setup-host.sh",
  [tracedShim]: "tools/setup-host.sh",
  [crictl]: "tools/setup-host.sh, or set CTRD_CRICTL",
  [ctdDecoder]: "tools/setup-host.sh, or set CTRD_CTD_DECODER",
  skopeo: "apt-get install skopeo",
  [containerd2]: "tools/setup-host.sh",
  [shim2]: "tools/setup-host.sh",
  [runc2]: "tools/setup-host.sh",
  [podsShim]: "tools/setup-host.sh",
  [runsc]: "tools/setup-host.sh",
  [runscShim]: "tools/setup-host.sh",
  [stargzGrpc]: "tools/setup-host.sh, or set CTRD_STARGZ_GRPC",
};

type TestBody = () => Promise<void>;

/** Declares a test that needs peers beyond those that every file needs. */
export function peerTest(name: string, peers: readonly string[], body: TestBody, timeoutMs?: number): void {
  const missing = peers.filter((peer) => findProgram(peer) === undefined);
  if (missing.length === 0) {
    test(name, body, timeoutMs);
    return;
  }
  const reason = missing.map((peer) => `${peer} is missing (${remedies[peer] ?? "install it"})`).join(", ");
  if (process.env["CI"] === "true") test(name, () => Promise.reject(new Error(`must not be skipped in CI: ${reason}`)));
  else test.skip(`${name} [skipped: ${reason}]`, body);
}

/** A test of something in which containerd 1.6 itself behaves differently from the text of the issue. */
export function ctrdTest(name: string, body: TestBody, timeoutMs?: number): void {
  if (daemonKind === "ctrd") test(name, body, timeoutMs);
  else test.skip(`${name} [skipped: containerd 1.6 differs]`, body);
}

/** Throws when a program that the whole file needs is missing. */
export function requirePeers(peers: readonly string[]): void {
  for (const peer of peers) {
    if (findProgram(peer) === undefined) throw new Error(`${peer} is missing: ${remedies[peer] ?? "install it"}`);
  }
}
