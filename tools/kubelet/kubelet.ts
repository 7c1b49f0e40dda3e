/** A kubelet of its own: files, cgroups and settings of the kernel are as before when it has ended. */
import type { ChildProcess } from "node:child_process";
import { createWriteStream, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { rmdirSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:https";
import { join } from "node:path";
import { exited, run, start, until } from "../../e2e/support/command.ts";
import { leftMounts } from "../../e2e/support/leaks.ts";
import { list } from "../../e2e/support/machine-state.ts";
import { repository } from "../../e2e/support/peers.ts";

const program = `${repository}/.host/bin/kubelet`;

/** Settings of the kernel that a kubelet changes when it starts. */
const tunables = ["vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"].concat([
  "kernel/keys/root_maxkeys",
  "kernel/keys/root_maxbytes",
]);
/** Directories that it makes whatever it is told. */
const fixed = ["/var/lib/kubelet", "/var/log/containers"];

/** What can be different between two starts. */
export interface KubeletSettings {
  /** Thresholds of evictions, as `imagefs.available`. */
  readonly evictionHard?: Readonly<Record<string, string>>;
}

/** What the kubelet says of a pod. */
export interface PodState {
  readonly metadata: { readonly name: string };
  readonly status: {
    readonly phase: string;
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly ContainerState[];
  };
}

interface ContainerState {
  readonly name: string;
  readonly ready: boolean;
  readonly restartCount: number;
  readonly containerID: string;
  readonly lastState: { readonly terminated?: { readonly exitCode: number; readonly reason: string } };
}

/** A kubelet in standalone mode: its pods are the manifests in a directory. */
export class Kubelet {
  /** Where the logs of its pods are. */
  readonly logs: string;
  readonly #dir: string;
  readonly #manifests: string;
  readonly #endpoint: string;
  readonly #cgroup: string;
  readonly #before: ReadonlyMap<string, string>;
  #process: ChildProcess | undefined;

  /** @param cgroup name of the one that all pods are in */
  constructor(dir: string, endpoint: string, cgroup: string) {
    for (const path of fixed) {
      if (existsSync(path)) throw new Error(`${path} is there: this machine has a kubelet, or had one; remove it`);
    }
    if (!existsSync(program)) throw new Error(`${program} is missing: tools/setup-host.sh kubelet`);
    [this.#dir, this.#endpoint, this.#cgroup] = [dir, endpoint, cgroup];
    [this.#manifests, this.logs] = [join(dir, "manifests"), join(dir, "logs")];
    this.#before = new Map(tunables.map((path) => [path, readFileSync(join("/proc/sys", path), "utf8")]));
    for (const path of [this.#manifests, this.logs, ...this.#cgroups()]) mkdirSync(path);
  }

  /** Starts it and waits until it says that it is well. */
  async start(settings: KubeletSettings = {}): Promise<void> {
    const config = join(this.#dir, "config.json");
    writeFileSync(config, JSON.stringify(this.#config(settings)));
    const own = ["--hostname-override=node", `--root-dir=${join(this.#dir, "root")}`, "-v=2"];
    const child = start(program, [`--config=${config}`, `--cert-dir=${join(this.#dir, "pki")}`, ...own]);
    this.#process = child;
    child.stderr?.pipe(createWriteStream(this.#log, { flags: "a" }));
    const isWell = async (): Promise<boolean> => {
      if (child.exitCode !== null) throw new Error(`the kubelet has ended:\n${this.tail()}`);
      const answer = await fetch("http://127.0.0.1:10248/healthz").catch(() => undefined);
      return answer?.ok === true;
    };
    await until("the kubelet is well", isWell, 30_000);
  }

  /** The end of what it says. */
  tail(length = 6000): string {
    return readFileSync(this.#log, "utf8").slice(-length);
  }

  /** Wants a pod, or another in its place. @param spec of the pod, as its manifest has it */
  want(name: string, spec: object): void {
    const metadata = { name, namespace: "default" };
    const pod = { apiVersion: "v1", kind: "Pod", metadata, spec: { terminationGracePeriodSeconds: 1, ...spec } };
    writeFileSync(join(this.#manifests, `${name}.json`), JSON.stringify(pod));
  }

  /** Wants a pod no more. */
  forget(name: string): void {
    rmSync(join(this.#manifests, `${name}.json`));
  }

  /** What it knows of a pod. */
  async pod(name: string): Promise<PodState | undefined> {
    const { items } = JSON.parse(await this.ask("/pods")) as { items: PodState[] | null };
    return items?.find((pod) => pod.metadata.name === `${name}-node`);
  }

  /** What a pod has become, once it is so. */
  async whenPod(name: string, what: string, is: (pod: PodState) => boolean): Promise<PodState> {
    const look = async (): Promise<PodState | undefined> => {
      const pod = await this.pod(name);
      return pod !== undefined && is(pod) ? pod : undefined;
    };
    try {
      return await until(`pod ${name} ${what}`, look, 45_000);
    } catch (error) {
      throw new Error(`${JSON.stringify(await this.pod(name))}\n${this.tail()}`, { cause: error });
    }
  }

  /** Asks it over HTTPS, with the certificate that it made for itself. */
  ask(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      get({ host: "127.0.0.1", port: 10_250, path, rejectUnauthorized: false }, (answer) => {
        let text = "";
        answer.on("data", (data: Buffer) => (text += data.toString()));
        answer.on("end", () => resolve(text));
      }).on("error", reject);
    });
  }

  /** Ends it; its pods go on. */
  async stop(): Promise<void> {
    this.#process?.kill("SIGTERM");
    if (this.#process !== undefined) await exited(this.#process);
    this.#process = undefined;
  }

  /** Ends it and makes the machine as it was. Its pods have to be gone. */
  async close(): Promise<void> {
    await this.stop();
    for (const [path, value] of this.#before) writeFileSync(join("/proc/sys", path), value);
    for (const mount of leftMounts(this.#dir).toReversed()) await run("umount", [mount.replace("mount ", "")]);
    for (const path of this.#cgroups()) removeCgroups(path);
    for (const path of [...fixed, this.#dir]) rmSync(path, { recursive: true, force: true });
  }

  get #log(): string {
    return join(this.#dir, "kubelet.log");
  }

  #cgroups(): string[] {
    return list("/sys/fs/cgroup").map((controller) => join(controller, this.#cgroup));
  }

  #config({ evictionHard = { "memory.available": "1Mi" } }: KubeletSettings): object {
    return {
      apiVersion: "kubelet.config.k8s.io/v1beta1",
      kind: "KubeletConfiguration",
      ...{ containerRuntimeEndpoint: this.#endpoint, staticPodPath: this.#manifests, podLogsDir: this.logs },
      ...{ fileCheckFrequency: "1s", syncFrequency: "1s" },
      ...{ cgroupDriver: "cgroupfs", cgroupRoot: `/${this.#cgroup}`, failCgroupV1: false, failSwapOn: false },
      authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
      authorization: { mode: "AlwaysAllow" },
      ...{ makeIPTablesUtilChains: false, oomScoreAdj: 0 },
      ...{ evictionHard, evictionPressureTransitionPeriod: "1s", imageMinimumGCAge: "1s" },
    };
  }
}

/** Removes a cgroup with those in it. */
function removeCgroups(path: string): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) removeCgroups(join(path, entry.name));
  }
  rmdirSync(path);
}
