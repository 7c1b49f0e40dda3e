/** Components as their authors ship them: a package with a plugin entry, and a program that serves the same code. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connects, startBackground, waitUntilReady, type BackgroundProcess } from "@ctrd/testkit/fixtures";
import { createApp } from "./app-folder.ts";
import { daemonCommand } from "./daemon.ts";

/** A component that somebody else wrote, in JavaScript, on libraries of ours. */
export interface PeerPackage {
  readonly name: string;
  /** The component itself: `open(root, ...args)`, and its `close()`. */
  readonly component: string;
  /** Its plugin entry; it imports `./component.js`. */
  readonly plugin?: string;
  /** Its program, `serve.js <socket> <root> [args]`; it imports `./component.js`. */
  readonly program: string;
}

/** The program of a component: what `serve` of `@ctrd/services` makes of it. */
function programOf(serve: string): string {
  return `\
import { ${serve} } from "@ctrd/services";
import { open } from "./component.js";

const [socket, root, ...args] = process.argv.slice(2);
const component = await open(root, ...args);
const server = await ${serve}(socket, component);
process.once("SIGTERM", async () => {
  await server.stop();
  await component.close?.();
  process.exit(0);
});
`;
}

/** A snapshotter that copies, as plugin and as program. */
export const copying: PeerPackage = {
  name: "copying-snapshotter",
  component: `export { openNativeSnapshotter as open } from "@ctrd/snapshot-native";\n`,
  plugin: `\
import { SnapshotPlugin } from "@ctrd/core/snapshots";
import { open } from "./component.js";

export default {
  type: SnapshotPlugin,
  id: "copying",
  initFn(ic) {
    const snapshotter = open(ic.root);
    ic.onClose(() => snapshotter.close());
    return snapshotter;
  },
};
`,
  program: programOf("serveSnapshotter"),
};

/** The overlay snapshotter as a program. */
export const overlay: PeerPackage = {
  name: "overlay-snapshotter",
  component: `\
import { openOverlaySnapshotter, probeOverlay } from "@ctrd/snapshot-overlayfs";

export function open(root) {
  const { features, reason } = probeOverlay(root);
  if (features === undefined) throw new Error(reason);
  return openOverlaySnapshotter(root, { features, syncRemove: true });
}
`,
  program: programOf("serveSnapshotter"),
};

/** The content store as a program. */
export const content: PeerPackage = {
  name: "content-store",
  component: `export { openContentStore as open } from "@ctrd/content-local";\n`,
  program: programOf("serveContentStore"),
};

/** A differ for gzip only, `serve.js <socket> <root> <address>`: it takes layers from the daemon that asks it. */
export const gzipDiffer: PeerPackage = {
  name: "gzip-differ",
  component: `\
import { notImplemented } from "@ctrd/core/errors";
import { openWalkingDiffer } from "@ctrd/diff-walking";
import { openChannel, proxyContentStore } from "@ctrd/services";

export async function open(root, address) {
  const channel = openChannel(address);
  const differ = await openWalkingDiffer({ content: proxyContentStore(channel), temporary: root, workers: 1 });
  const check = (what, { namespace, lease }, mediaType) => {
    const does = mediaType.endsWith("gzip");
    process.stdout.write(JSON.stringify({ what, does, namespace, leased: lease !== undefined }) + "\\n");
    if (!does) throw notImplemented(mediaType);
  };
  return {
    async apply(ctx, diff, mounts, options) {
      check("apply", ctx, diff.mediaType);
      return differ.apply(ctx, diff, mounts, options);
    },
    async compare(ctx, lower, upper, options) {
      check("compare", ctx, options.mediaType);
      return differ.compare(ctx, lower, upper, options);
    },
    async close() {
      await differ.close();
      channel.close();
    },
  };
}
`,
  program: programOf("serveDiffer"),
};

/** A sandbox controller: each sandbox is a process that sleeps. */
export const sleepers: PeerPackage = {
  name: "sleeping-sandboxes",
  component: `\
import { spawn } from "node:child_process";
import { once } from "node:events";
import { alreadyExists, notFound } from "@ctrd/core/errors";

const now = () => ({ seconds: BigInt(Math.floor(Date.now() / 1000)), nanos: 0 });

export function open() {
  const sandboxes = new Map();
  const get = (ctx, id) => {
    const sandbox = sandboxes.get(ctx.namespace + "/" + id);
    if (sandbox === undefined) throw notFound("sandbox " + id);
    return sandbox;
  };
  return {
    async create(ctx, sandbox) {
      const key = ctx.namespace + "/" + sandbox.sandboxId;
      if (sandboxes.has(key)) throw alreadyExists("sandbox " + sandbox.sandboxId);
      sandboxes.set(key, { record: sandbox, createdAt: now() });
    },
    async start(ctx, id) {
      const sandbox = get(ctx, id);
      sandbox.child = spawn("sleep", ["1000"]);
      sandbox.exit = once(sandbox.child, "exit").then(() => ({ exitStatus: 128 + 9, exitedAt: now() }));
      const { createdAt, record } = sandbox;
      const { pid } = sandbox.child;
      return { pid, createdAt, labels: record.labels, address: "", version: 3, spec: record.spec };
    },
    platform: async () => ({ os: "linux", architecture: "amd64", variant: "", osVersion: "" }),
    async stop(ctx, id) {
      get(ctx, id).child?.kill("SIGKILL");
    },
    wait: async (ctx, id) => get(ctx, id).exit,
    async status(ctx, id) {
      const { child, createdAt } = get(ctx, id);
      const state = child?.exitCode === null && !child.killed ? "SANDBOX_READY" : "SANDBOX_NOTREADY";
      const rest = { exitedAt: undefined, extra: undefined, address: "", version: 3 };
      return { pid: child?.pid ?? 0, state, info: new Map(), createdAt, ...rest };
    },
    async shutdown(ctx, id) {
      get(ctx, id).child?.kill("SIGKILL");
      sandboxes.delete(ctx.namespace + "/" + id);
    },
    metrics: async (ctx, id) => ({ timestamp: now(), id: get(ctx, id).record.sandboxId, data: undefined }),
    async update(ctx, record) {
      get(ctx, record.sandboxId).record = record;
    },
    async close() {
      for (const { child } of sandboxes.values()) child?.kill("SIGKILL");
    },
  };
}
`,
  program: programOf("serveSandboxController"),
};

/** Installs packages for an app folder: their own files, and links to the libraries of this repository. */
export function installPeers(app: string, packages: readonly PeerPackage[]): void {
  const plugins = packages.filter(({ plugin }) => plugin !== undefined);
  createApp(app, {
    own: ["server"],
    installed: ["core", "services", "snapshot-native", "snapshot-overlayfs", "content-local", "diff-walking"],
    foreign: Object.fromEntries(plugins.map(({ name, plugin = "" }) => [name, { plugin }])),
  });
  for (const { name, component, program } of packages) {
    const home = join(app, "node_modules", name);
    mkdirSync(home, { recursive: true });
    if (!plugins.some((one) => one.name === name)) writeFileSync(join(home, "package.json"), '{ "type": "module" }');
    writeFileSync(join(home, "component.js"), component);
    writeFileSync(join(home, "serve.js"), program);
  }
}

/** A component in a process of its own. */
export class Peer {
  readonly address: string;
  /** Where it keeps its files. */
  readonly root: string;
  readonly #app: string;
  readonly #name: string;
  readonly #args: readonly string[];
  #running: BackgroundProcess | undefined;

  /** @param dir where its socket and its files are; short, for the socket's sake */
  constructor(app: string, { name }: PeerPackage, dir: string, args: readonly string[] = []) {
    this.address = join(dir, "p.sock");
    this.root = join(dir, "peer");
    [this.#app, this.#name, this.#args] = [app, name, args];
    mkdirSync(dir, { recursive: true });
  }

  async start(): Promise<void> {
    const [node, flags] = daemonCommand("ctrd", "");
    const options = flags.filter((flag) => flag.startsWith("--") && flag !== "--config");
    const program = join(this.#app, "node_modules", this.#name, "serve.js");
    const args = [...options, program, this.address, this.root, ...this.#args];
    this.#running = await startBackground(node, args, `${this.address}.log`);
    await waitUntilReady(`${this.#name} at ${this.address}`, this.#running, () => connects(this.address));
  }

  /** Stops it as a service manager does. */
  async stop(): Promise<void> {
    await this.#running?.stop("SIGTERM");
  }

  /** Kills it as a crash does; its socket file stays. */
  async kill9(): Promise<void> {
    await this.#running?.stop("SIGKILL");
  }

  /** What it has written to its log. */
  output(): string {
    return this.#running?.output() ?? "";
  }

  get pid(): number {
    return this.#running?.pid ?? 0;
  }

  /** How it ended; undefined while it runs. */
  exitStatus(): string | undefined {
    return this.#running?.exitStatus();
  }

  /** Its table in the configuration of a daemon, ctrd's or containerd's. */
  table(id: string, type: string): string {
    return `[proxy_plugins.${id}]\ntype = "${type}"\naddress = "${this.address}"\n`;
  }

  async close(): Promise<void> {
    await this.stop();
    rmSync(this.root, { recursive: true, force: true });
  }
}
