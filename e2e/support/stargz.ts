/** The remote snapshotter `containerd-stargz-grpc`, and images that it can pull lazily. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  connects,
  mustRun,
  pushImage,
  startBackground,
  startContainerd,
  waitUntilReady,
  type BackgroundProcess,
  type BuiltImage,
  type TestRegistry,
} from "@ctrd/testkit/fixtures";
import { leftMounts, leftProcesses } from "./leaks.ts";
import { runName } from "./machine-state.ts";
import { stargzGrpc } from "./peers.ts";

/** What is fetched is what is read: nothing ahead, nothing in the background. */
const config = `noprefetch = true
no_background_fetch = true
no_prometheus = true
`;

/** A running `containerd-stargz-grpc` on its own root and socket. */
export class Stargz {
  readonly dir: string = mkdtempSync(`/tmp/ctrd-${runName()}-stargz-`);
  readonly address: string = join(this.dir, "s.sock");
  #running: BackgroundProcess | undefined;

  async start(): Promise<void> {
    const file = join(this.dir, "config.toml");
    writeFileSync(file, config);
    const flags = ["--address", this.address, "--config", file, "--root", join(this.dir, "root")];
    this.#running = await startBackground(stargzGrpc, [...flags, "--log-level", "debug"], join(this.dir, "log"));
    await waitUntilReady("containerd-stargz-grpc", this.#running, () => connects(this.address));
  }

  /** Ends it as a restart of its service would: its file systems stay mounted, and are dead. */
  async stop(): Promise<void> {
    await this.#running?.stop("SIGTERM");
  }

  logs(): string {
    return this.#running?.output() ?? "";
  }

  /** Mount points of lazily pulled layers. */
  layers(): string[] {
    const points = readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "");
    return points.filter((point) => point.startsWith(`${this.dir}/`));
  }

  /** Bytes that it has fetched from the registry and keeps. */
  fetchedBytes(): number {
    const cache = join(this.dir, "root/stargz");
    const files = readdirSync(cache, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    return files.reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
  }

  /** Ends it, removes its directory, and throws when it leaves a mount or a process. */
  async close(): Promise<void> {
    const left = this.layers();
    // With this signal it unmounts what it has.
    await this.#running?.stop("SIGINT");
    left.push(...leftMounts(this.dir), ...leftProcesses([this.dir]));
    if (left.length > 0) throw new Error(`left behind by stargz in ${this.dir}:\n  ${left.join("\n  ")}`);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Pushes `image` converted to eStargz by the real `ctr-remote`, through a containerd that is gone afterwards. */
export async function pushEstargz(registry: TestRegistry, repository: string, image: BuiltImage): Promise<string> {
  const source = await pushImage(registry, repository, "plain", image);
  const target = source.replace(/:plain$/, ":estargz");
  await using converter = await startContainerd();
  const flags = ["--address", converter.address];
  await mustRun("ctr", [...flags, "images", "pull", "--plain-http", source]);
  await mustRun("ctr-remote", [...flags, "images", "convert", "--estargz", "--oci", source, target]);
  await mustRun("ctr", [...flags, "images", "push", "--plain-http", target]);
  return target;
}
