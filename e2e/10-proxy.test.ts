/** Shows 2, 4 and 5 of issue 3: the same component in the daemon, in a process of its own, and under containerd. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createContext } from "@ctrd/core/context";
import { openChannel, proxyEvents, proxySandboxController } from "@ctrd/services";
import { busyboxImage, pushImage, tempDir, type TempDir } from "@ctrd/testkit/fixtures";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runOk, sleep, until } from "./support/command.ts";
import type { Daemon } from "./support/daemon.ts";
import { openHarness, type Harness } from "./support/harness.ts";
import { peerTest } from "./support/peers.ts";
import {
  content,
  copying,
  gzipDiffer,
  installPeers,
  overlay,
  Peer,
  type PeerPackage,
  sleepers,
} from "./support/proxy-peers.ts";
import { SnapshotLoad } from "./support/snapshot-load.ts";
import { tableRows } from "./support/table.ts";

let dir: TempDir;
let app: string;
beforeAll(async () => {
  dir = await tempDir("proxy-");
  app = join(dir.path, "app");
  installPeers(app, [copying, overlay, content, gzipDiffer, sleepers]);
});
afterAll(() => dir[Symbol.asyncDispose]());

type DaemonKind = "ctrd" | "containerd";

/** Runs `body` with a daemon and the peers that it was given; all are gone afterwards. */
async function withDaemon(
  kind: DaemonKind,
  options: { peers?: readonly Peer[]; config?: string; args?: readonly string[]; disabled?: string },
  body: (h: Harness) => Promise<void>,
): Promise<void> {
  const { peers = [], config = "", args = [], disabled } = options;
  for (const peer of peers) await peer.start();
  const h = await openHarness("proxy", { kind, config, args, pull: false });
  try {
    if (disabled !== undefined) await disable(h, disabled);
    await body(h);
  } finally {
    await h.close();
    for (const peer of peers) await peer.close();
  }
}

/** Adds a plugin to the list that the fixture's configuration of containerd begins with. */
async function disable(h: Harness, plugin: string): Promise<void> {
  const text = readFileSync(h.daemon.config, "utf8");
  writeFileSync(
    h.daemon.config,
    text.replace("disabled_plugins = [", `disabled_plugins = [ ${JSON.stringify(plugin)},`),
  );
  await h.daemon.restart();
}

/** What a user does with a snapshotter: pull, run, commit, run on what was committed, remove. */
async function useSnapshotter(h: Harness, name: string): Promise<void> {
  const { daemon, image } = h;
  const snapshots = (...args: string[]): Promise<string> => daemon.ctr(["snapshots", "--snapshotter", name, ...args]);
  await daemon.ctr(["images", "pull", "--plain-http", "--snapshotter", name, image]);
  const run = ["run", "--snapshotter", name];
  expect(await daemon.ctr([...run, "--rm", image, daemon.id("echo"), "echo", "from it"])).toBe("from it\n");

  const id = daemon.id("writer");
  await daemon.ctr([...run, image, id, "sh", "-c", "echo written > /new; rm /etc/passwd"]);
  await snapshots("commit", "layer", id);
  await snapshots("prepare", "again", "layer");
  const script = await snapshots("mounts", h.path("mounted"), "again");
  const lines = ["mkdir $0", script, "cat $0/new", "ls $0/etc", "umount $0", "rmdir $0"];
  const seen = await runOk("sh", ["-ec", lines.join("\n"), h.path("mounted")]);
  expect(seen).toMatch(/^written\n/);
  expect(seen).not.toContain("passwd");
  const kinds = tableRows(await snapshots("ls")).map((row) => row["KIND"]);
  expect(kinds.toSorted()).toEqual(["Active", "Committed", "Committed"]);

  await daemon.ctr(["containers", "rm", id]);
  for (const key of ["again", "layer"]) await snapshots("rm", key);
  await daemon.ctr(["images", "rm", "--sync", image]);
  expect(tableRows(await snapshots("ls"))).toEqual([]);
}

describe("2: one snapshotter package, unchanged", () => {
  peerTest("in the daemon", [], () =>
    withDaemon("ctrd", { args: ["--app", app] }, async (h) => {
      await useSnapshotter(h, "copying");
      expect(snapshotsIn(join(h.daemon.root, "io.containerd.snapshotter.v1.copying"))).toEqual([]);
    }),
  );

  const served: [string, DaemonKind, PeerPackage][] = [
    ["ctrd", "ctrd", copying],
    ["the real containerd", "containerd", copying],
    ["ctrd, over overlayfs", "ctrd", overlay],
    ["the real containerd, over overlayfs", "containerd", overlay],
  ];
  for (const [what, kind, part] of served) {
    peerTest(`as a proxy plugin of ${what}`, ["containerd"], async () => {
      const peer = new Peer(app, part, join(dir.path, "a"));
      await withDaemon(kind, { peers: [peer], config: peer.table("copying", "snapshot") }, async (h) => {
        expect(await h.daemon.ctr(["plugins", "ls", "id==copying"])).toMatch(/snapshotter\.v1 +copying +\S+ +ok/);
        await useSnapshotter(h, "copying");
        expect(snapshotsIn(peer.root)).toEqual([]);
        await peer.stop();
        expect(peer.exitStatus()).toBe("exit code 0");
        expect(readdirSync(join(dir.path, "a"))).not.toContain("p.sock");
      });
    });
  }
});

/** Directories of snapshots below the root of a snapshotter. */
function snapshotsIn(root: string): string[] {
  return readdirSync(join(root, "snapshots"));
}

/** Hashes of the blobs below the root of a content store. */
function blobsIn(root: string): string[] {
  try {
    return readdirSync(join(root, "blobs/sha256"));
  } catch {
    // A store that never had a blob has no directory for them.
    return [];
  }
}

describe("4: a content store in a process of its own", () => {
  const builtIn = "io.containerd.content.v1.content";

  /** Pulls and runs; the blobs are in the files below `root` only. */
  async function useContent(h: Harness, root: string): Promise<void> {
    const { daemon, image } = h;
    await daemon.ctr(["images", "pull", "--plain-http", image]);
    expect(await daemon.ctr(["run", "--rm", image, daemon.id("echo"), "echo", "hi"])).toBe("hi\n");
    const listed = (await daemon.ctr(["content", "ls", "-q"])).trim().split("\n");
    expect(listed).toHaveLength(3);
    expect(
      blobsIn(root)
        .map((hex) => `sha256:${hex}`)
        .toSorted(),
    ).toEqual(listed.toSorted());
    expect(blobsIn(join(daemon.root, builtIn))).toEqual([]);
  }

  async function removeContent({ daemon, image }: Harness, root: string): Promise<void> {
    await daemon.ctr(["images", "rm", "--sync", image]);
    expect(blobsIn(root)).toEqual([]);
  }

  peerTest("is the store of ctrd", [], async () => {
    const peer = new Peer(app, content, join(dir.path, "c"));
    const config = `disabled_plugins = ["${builtIn}"]\n${peer.table("other", "content")}`;
    await withDaemon("ctrd", { peers: [peer], config }, async (h) => {
      await useContent(h, peer.root);
      await removeContent(h, peer.root);
    });
  });

  peerTest("is that of a second ctrd", [], async () => {
    await withDaemon("ctrd", {}, async ({ daemon: second }) => {
      const table = `[proxy_plugins.other]\ntype = "content"\naddress = "${second.address}"\n`;
      const config = `disabled_plugins = ["${builtIn}"]\n${table}`;
      await withDaemon("ctrd", { config }, (h) => useContent(h, join(second.root, builtIn)));
    });
  });

  peerTest("is the store of the real containerd", ["containerd"], async () => {
    const peer = new Peer(app, content, join(dir.path, "c"));
    await withDaemon(
      "containerd",
      { peers: [peer], config: peer.table("other", "content"), disabled: builtIn },
      async (h) => {
        await useContent(h, peer.root);
        await removeContent(h, peer.root);
      },
    );
  });
});

describe("others that are proxied", () => {
  peerTest("a differ is asked in its turn, with namespace and lease, and may come after the daemon", [], async () => {
    const place = join(dir.path, "d");
    const away = new Peer(app, gzipDiffer, place);
    const order = '[plugins."io.containerd.service.v1.diff-service"]\ndefault = ["mine", "walking"]\n';
    await withDaemon("ctrd", { config: `${away.table("mine", "diff")}${order}` }, async (h) => {
      const { daemon, registry, image } = h;
      expect(await stateOf(daemon, "mine")).toMatch(/^unreachable since \S+Z: there is no such socket$/);
      const failure = await daemon.ctrFails(["images", "pull", "--plain-http", image]);
      expect(failure).toContain(`proxy plugin io.containerd.differ.v1.mine at ${away.address}: unreachable since `);
      const peer = new Peer(app, gzipDiffer, place, [daemon.address]);
      await peer.start();
      try {
        await until("the daemon finds it", async () => (await stateOf(daemon, "mine")) === "connected");
        const { namespace } = daemon;
        const asked = (): unknown => JSON.parse(peer.output().trim().split("\n").at(-1) ?? "");
        await daemon.ctr(["images", "pull", "--plain-http", image]);
        expect(asked()).toEqual({ what: "apply", does: true, namespace, leased: true });
        const zstd = await pushImage(registry, "e2e/zstd", "1", await busyboxImage({ compression: "zstd" }));
        await daemon.ctr(["images", "pull", "--plain-http", zstd]);
        expect(asked()).toEqual({ what: "apply", does: false, namespace, leased: true });
        const id = daemon.id("changed");
        await daemon.ctr(["run", image, id, "sh", "-c", "echo new > /new"]);
        const pipeline = 'ctr "$@" snapshots diff $0 | tar -tz';
        expect(await runOk("sh", ["-c", pipeline, id, ...daemon.flags()])).toContain("new\n");
        expect(asked()).toMatchObject({ what: "compare", does: true, namespace });
        await daemon.ctr(["containers", "rm", id]);
      } finally {
        await peer.close();
      }
    });
  });

  test("a sandbox controller serves the daemon's clients, who are told of its sandboxes", async () => {
    const peer = new Peer(app, sleepers, join(dir.path, "s"));
    await withDaemon("ctrd", { peers: [peer], config: peer.table("sleepers", "sandbox") }, async ({ daemon }) => {
      using channel = openChannel(daemon.address);
      const controller = proxySandboxController(channel, "sleepers");
      const ended = new AbortController();
      const ctx = createContext({ namespace: daemon.namespace });
      const seen: string[] = [];
      const events = proxyEvents(channel).subscribe({ ...ctx, signal: ended.signal }, ["topic~=^/sandboxes/"]);
      const following = (async () => {
        for await (const { topic } of events) seen.push(topic);
      })().catch((error: unknown) => {
        if (!ended.signal.aborted) throw error;
      });
      const sandbox = {
        ...{ sandboxId: "one", runtime: { name: "sleepers", options: undefined }, sandboxer: "sleepers" },
        ...{ spec: undefined, labels: new Map(), extensions: new Map(), createdAt: undefined, updatedAt: undefined },
      };
      await controller.create(ctx, sandbox);
      await controller.start(ctx, "one");
      expect(childrenOf(peer.pid)).toEqual(["sleep 1000 "]);
      await until("its events are told", () => seen.includes("/sandboxes/start"));
      expect(seen).toEqual(["/sandboxes/create", "/sandboxes/start"]);
      await expect(controller.create(ctx, sandbox)).rejects.toThrow(/already exists/);
      await controller.shutdown(ctx, "one");
      await until("its process is gone", () => childrenOf(peer.pid).length === 0);
      ended.abort();
      await following;
    });
  });
});

/** Command lines of the children of a process. */
function childrenOf(pid: number): string[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean);
  return children.map((child) => readFileSync(`/proc/${child}/cmdline`, "utf8").replaceAll("\0", " "));
}

/** The state that the daemon shows of a proxy plugin. */
async function stateOf(daemon: Daemon, id: string): Promise<string> {
  return /state +(.*?) *$/m.exec(await daemon.ctr(["plugins", "ls", "-d", `id==${id}`]))?.[1] ?? "";
}

describe("5: a peer that is killed", () => {
  peerTest("fails its calls at once, serves again when it is back, and disturbs nothing else", [], async () => {
    const peer = new Peer(app, copying, join(dir.path, "k"));
    await withDaemon(
      "ctrd",
      { peers: [peer], config: peer.table("copying", "snapshot") },
      async ({ daemon, image }) => {
        await daemon.ctr(["images", "pull", "--plain-http", image]);
        const id = daemon.id("bystander");
        await daemon.ctr(["run", "-d", image, id, "sleep", "1000"]);
        const state = async (): Promise<string> =>
          /state +(.*?) *$/m.exec(await daemon.ctr(["plugins", "ls", "-d", "id==copying"]))?.[1] ?? "";
        expect(await state()).toBe("connected");

        const load = await SnapshotLoad.start(app, daemon, "copying", 24);
        await until("the load runs", () => load.calls().length > 500);
        const killed = Date.now();
        await peer.kill9();
        await until("calls fail", () => load.calls().some(({ kind }) => kind !== undefined));
        expect(await state()).toMatch(/^unreachable since \S+Z: /);
        // Others go on meanwhile: a snapshotter, a container, and what needs neither.
        expect(await daemon.ctr(["run", "--rm", image, daemon.id("meanwhile"), "echo", "hi"])).toBe("hi\n");
        expect(await daemon.ctr(["tasks", "exec", "--exec-id", "meanwhile", id, "echo", "there"])).toBe("there\n");
        await sleep(1_000);
        const back = Date.now();
        await peer.start();
        const served = await until("calls succeed again", () =>
          load.calls().find(({ at, kind }) => at > back && kind === undefined),
        );
        expect(served.at + served.ms - back).toBeLessThan(6_000);
        expect(await state()).toBe("connected");
        await sleep(300);
        await load.stop();

        const failed = load.calls().filter(({ kind }) => kind !== undefined && kind !== "not-found");
        expect(failed.filter(({ at }) => at > killed).length).toBeGreaterThan(24);
        expect(failed.filter(({ kind, ms }) => kind !== "unavailable" || ms > 1_000)).toEqual([]);
        const plugin = `proxy plugin io.containerd.snapshotter.v1.copying at ${peer.address}: `;
        expect(failed.filter(({ message = "" }) => !message.startsWith(plugin))).toEqual([]);
        expect(failed[0]?.message).toMatch(/; start the process that serves it, or correct the address in /);
        expect(logged(daemon, "proxy plugin unreachable")).toBe(1);
        expect(logged(daemon, "proxy plugin connected")).toBe(2);

        await daemon.ctr(["tasks", "rm", "-f", id]);
        await daemon.ctr(["containers", "rm", id]);
        // A collection finds what calls made before they failed.
        await daemon.ctr(["images", "rm", "--sync", image]);
        expect(snapshotsIn(peer.root)).toEqual([]);
      },
    );
  });
});

/** How often a message is in the log of a daemon. */
function logged(daemon: Daemon, message: string): number {
  return daemon.logs().split(`"msg":"${message}"`).length - 1;
}
