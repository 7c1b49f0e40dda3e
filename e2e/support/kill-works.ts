/** What a daemon does while it is killed: each work writes down what was acknowledged. */
import { randomUUID } from "node:crypto";
import type { Client, Image } from "@ctrd/client";
import { connect, nullIo } from "@ctrd/client";
import { isKind } from "@ctrd/core/errors";
import { withImageConfig } from "@ctrd/oci";
import type { KillWork, Ledger } from "@ctrd/testkit/faults";
import { randomBytesOf } from "@ctrd/testkit/fixtures";
import { sha256 } from "./command.ts";
import type { Daemon } from "./daemon.ts";
import { alive } from "./processes.ts";

/** What the works need. */
export interface WorkPlace {
  readonly daemon: Daemon;
  /** Runs containers; it is pulled. */
  readonly image: string;
  /** Is pulled through ctr by one work. */
  readonly pulled: string;
  /** Is pulled by the daemon itself. */
  readonly transferred: string;
}

/** All works. */
export function killWorks(place: WorkPlace): KillWork[] {
  const { daemon, image } = place;
  const byCtr = async (): Promise<void> => {
    await daemon.ctr(["images", "pull", "--plain-http", place.pulled]);
  };
  const byDaemon = (): Promise<void> =>
    withClient(daemon, async (client) => {
      await client.pullByDaemon(place.transferred, { plainHttp: true, snapshotter: "overlayfs" });
    });
  return [
    pullWork("pull through ctr", daemon, place.pulled, byCtr),
    pullWork("pull by Transfer", daemon, place.transferred, byDaemon),
    containerWork(daemon, image),
    contentWork(daemon),
    snapshotWork(daemon),
    recordWork(daemon, image),
    collectWork(daemon),
  ];
}

/** A connection of its own: one that saw the daemon die waits before it tries again. */
export async function withClient<T>(daemon: Daemon, body: (client: Client) => Promise<T>): Promise<T> {
  const client = await connect(daemon.address, { namespace: daemon.namespace });
  try {
    return await body(client);
  } finally {
    client.close();
  }
}

/** Undefined when it is not there. */
async function unlessMissing<T>(call: Promise<T>): Promise<T | undefined> {
  return call.catch((error: unknown) => {
    if (isKind(error, "not-found")) return undefined;
    throw error;
  });
}

async function mustBeMissing(what: string, call: Promise<unknown>): Promise<void> {
  if ((await unlessMissing(call)) !== undefined) throw new Error(`${what} is there still`);
}

/** Removes the image with a collection, and pulls it again. */
function pullWork(name: string, daemon: Daemon, reference: string, pull: () => Promise<void>): KillWork {
  const fact = `image ${reference}`;
  const remove = (ledger: Ledger): Promise<void> =>
    withClient(daemon, async (client) => {
      ledger.uncertain(fact);
      await unlessMissing(client.images.delete(client.context(), reference, { sync: true }));
      const gone = async (): Promise<void> =>
        withClient(daemon, (other) => mustBeMissing(fact, other.getImage(reference)));
      ledger.acknowledged(fact, gone);
    });
  return {
    name,
    async run(_run, ledger) {
      await remove(ledger);
      ledger.uncertain(fact);
      await pull();
      ledger.acknowledged(fact, () =>
        withClient(daemon, async (client) => expectComplete(client, await client.getImage(reference))),
      );
    },
    async cleanUp(ledger) {
      await remove(ledger);
      ledger.uncertain(fact);
    },
  };
}

async function expectComplete(client: Client, image: Image): Promise<void> {
  const { config, layers } = await image.manifest();
  for (const { digest, size } of [config, ...layers]) {
    const info = await client.content.info(client.context(), digest);
    if (info.size !== BigInt(size)) throw new Error(`${digest} has ${info.size} bytes, not ${size}`);
  }
  if (!(await image.isUnpacked({ snapshotter: "overlayfs" }))) throw new Error(`${image.name} is not unpacked`);
}

/** Runs a container; every third is stopped and deleted, the others run on until the clean-up. */
function containerWork(daemon: Daemon, image: string): KillWork {
  const ids = new Map<number, string>();
  return {
    name: "run and delete a container",
    async run(run, ledger) {
      const id = ids.get(run) ?? daemon.id(`kill${run}`);
      ids.set(run, id);
      await withClient(daemon, async (client) => {
        await discardContainer(client, id, ledger);
        await startContainer(daemon, client, id, image, ledger);
        if (run % 3 !== 0) return;
        await endContainer(client, id, ledger);
        const gone = (): Promise<void> =>
          withClient(daemon, (other) => mustBeMissing(`container ${id}`, other.loadContainer(id)));
        ledger.acknowledged(`container ${id}`, gone);
      });
    },
    async cleanUp(ledger) {
      await withClient(daemon, async (client) => {
        const there = new Set((await client.containers()).map(({ id }) => id));
        for (const id of ids.values()) {
          if (there.has(id)) await endContainer(client, id, ledger);
          ledger.uncertain(`container ${id}`);
        }
        ids.clear();
      });
    },
  };
}

/** What an attempt that was interrupted may have left. */
async function discardContainer(client: Client, id: string, ledger: Ledger): Promise<void> {
  ledger.uncertain(`container ${id}`);
  ledger.uncertain(`task ${id}`);
  const left = await unlessMissing(client.loadContainer(id));
  await left?.delete({ kill: true, snapshot: true });
  await unlessMissing(client.snapshotter("overlayfs").remove(client.context(), id));
}

/** Makes and starts a container that sleeps, and writes down that it is there and runs. */
export async function startContainer(
  daemon: Daemon,
  client: Client,
  id: string,
  image: string,
  ledger: Ledger,
): Promise<void> {
  const specOptions = [withImageConfig({ args: ["sleep", "1000"] })];
  const container = await client.newContainer(id, { image, snapshotter: "overlayfs", specOptions });
  ledger.acknowledged(`container ${id}`, () =>
    withClient(daemon, async (other) => {
      await other.loadContainer(id);
    }),
  );
  const task = await container.newTask({ io: nullIo });
  await task.start();
  const { pid } = task;
  ledger.acknowledged(`task ${id}`, () =>
    withClient(daemon, async (other) => {
      if (!alive(pid)) throw new Error(`process ${pid} is gone`);
      const status = await (await (await other.loadContainer(id)).task()).status();
      if (status.state !== "running" || status.pid !== pid) throw new Error(`${status.state} as ${status.pid}`);
    }),
  );
}

/** Kills it, waits for it, deletes the task and the container. */
export async function endContainer(client: Client, id: string, ledger: Ledger): Promise<void> {
  const container = await client.loadContainer(id);
  const task = await unlessMissing(container.task());
  ledger.uncertain(`task ${id}`);
  if (task !== undefined) {
    const exit = task.wait();
    exit.catch(() => undefined); // the daemon may be killed before anybody waits
    await task.kill("SIGKILL");
    const { exitCode } = await exit;
    if (exitCode !== 137) throw new Error(`container ${id} was killed and exited with ${exitCode}`);
    await task.delete();
  }
  ledger.uncertain(`container ${id}`);
  await container.delete({ snapshot: true });
}

/** Writes blobs, and goes on where an earlier attempt was interrupted. */
function contentWork(daemon: Daemon): KillWork {
  const held = new Set<string>();
  return {
    name: "write content",
    async run(run, ledger) {
      await withClient(daemon, async (client) => {
        for (let index = 0; index < 6; index++) {
          const bytes = randomBytesOf(`${run}/${index}`, 300_000);
          const digest = `sha256:${sha256(bytes)}`;
          held.add(digest);
          await writeBlob(client, `kill-${run}-${index}`, digest, bytes);
          ledger.acknowledged(`content ${digest}`, () => withClient(daemon, (other) => expectBytes(other, digest)));
        }
      });
    },
    async cleanUp(ledger) {
      await withClient(daemon, async (client) => {
        for (const digest of held) {
          ledger.uncertain(`content ${digest}`);
          await unlessMissing(client.content.delete(client.context(), digest));
        }
        held.clear();
      });
    },
  };
}

async function writeBlob(client: Client, ref: string, expected: string, bytes: Uint8Array): Promise<void> {
  const ctx = client.context();
  const total = BigInt(bytes.length);
  try {
    const writer = await client.content.writer(ctx, { ref, expected, total });
    for (let at = Number(writer.status().offset); at < bytes.length; at += 50_000) {
      await writer.write(bytes.subarray(at, at + 50_000));
    }
    await writer.commit(ctx, { size: total, expected, labels: new Map([["containerd.io/gc.root", "kept"]]) });
  } catch (error) {
    // The interrupted attempt has done it.
    if (!isKind(error, "already-exists")) throw error;
  }
}

async function expectBytes(client: Client, digest: string): Promise<void> {
  const reader = await client.content.reader(client.context(), digest);
  try {
    const found = sha256(await reader.read(0n, Number(reader.size)));
    if (`sha256:${found}` !== digest) throw new Error(`its bytes have the digest sha256:${found}`);
  } finally {
    await reader.close();
  }
}

/** Prepares, commits and removes snapshots, one upon the other. */
function snapshotWork(daemon: Daemon): KillWork {
  const held: string[] = [];
  const labels = new Map([["containerd.io/gc.root", "kept"]]);
  return {
    name: "prepare, commit and remove snapshots",
    async run(run, ledger) {
      await withClient(daemon, async (client) => {
        const [ctx, snapshotter] = [client.context(), client.snapshotter("overlayfs")];
        let parent = "";
        for (let level = 0; level < 4; level++) {
          const name = `kill-${run}-${level}`;
          const there = await unlessMissing(snapshotter.stat(ctx, name));
          await unlessMissing(snapshotter.remove(ctx, `${name}-active`));
          if (there === undefined) {
            await snapshotter.prepare(ctx, `${name}-active`, parent, { labels });
            await snapshotter.commit(ctx, name, `${name}-active`, { labels });
          }
          if (!held.includes(name)) held.push(name);
          ledger.acknowledged(`snapshot ${name}`, () =>
            withClient(daemon, async (other) => {
              await other.snapshotter("overlayfs").stat(other.context(), name);
            }),
          );
          parent = name;
        }
        await snapshotter.prepare(ctx, `kill-${run}-gone`, parent, { labels }).catch((error: unknown) => {
          if (!isKind(error, "already-exists")) throw error;
        });
        ledger.uncertain(`snapshot kill-${run}-gone`);
        await snapshotter.remove(ctx, `kill-${run}-gone`);
        ledger.acknowledged(`snapshot kill-${run}-gone`, () =>
          withClient(daemon, (other) =>
            mustBeMissing("it", other.snapshotter("overlayfs").stat(other.context(), `kill-${run}-gone`)),
          ),
        );
        held.push(`kill-${run}-gone`);
      });
    },
    async cleanUp(ledger) {
      await withClient(daemon, async (client) => {
        for (const name of held.toReversed()) {
          ledger.uncertain(`snapshot ${name}`);
          await unlessMissing(client.snapshotter("overlayfs").remove(client.context(), name));
        }
        held.length = 0;
      });
    },
  };
}

/** Many writers of records at once, which the database commits in groups. */
function recordWork(daemon: Daemon, image: string): KillWork {
  const held = new Set<string>();
  return {
    name: "write records",
    async run(run, ledger) {
      await withClient(daemon, async (client) => {
        const { target } = await client.getImage(image);
        const write = async (index: number): Promise<void> => {
          const name = `example.test/kill-${run}:${index}`;
          const fact = `record ${name}`;
          const stamp = randomUUID();
          held.add(name);
          ledger.uncertain(fact);
          const record = await client.createImage(name, target, { labels: { stamp } });
          if (index % 4 === 0) await record.delete();
          ledger.acknowledged(fact, () =>
            withClient(daemon, async (other) => {
              const found = await unlessMissing(other.getImage(name));
              const expected = index % 4 === 0 ? undefined : stamp;
              if (found?.labels.get("stamp") !== expected) throw new Error(`it is ${found?.labels.get("stamp")}`);
            }),
          );
        };
        // All of them, although the daemon dies: what is acknowledged late is acknowledged.
        const results = await Promise.allSettled(Array.from({ length: 32 }, (_, index) => write(index)));
        const failed = results.find((result) => result.status === "rejected");
        if (failed !== undefined) throw failed.reason;
      });
    },
    async cleanUp(ledger) {
      await withClient(daemon, async (client) => {
        const remove = async (name: string): Promise<void> => {
          ledger.uncertain(`record ${name}`);
          await unlessMissing(client.images.delete(client.context(), name));
        };
        await Promise.all([...held].map(remove));
        held.clear();
      });
    },
  };
}

/** A lease with content and a snapshot, which a collection takes when it ends. */
function collectWork(daemon: Daemon): KillWork {
  const facts = new Set<string>();
  return {
    name: "collect what a lease held",
    async run(run, ledger) {
      await withClient(daemon, async (client) => {
        const id = `kill-lease-${run}`;
        for (const left of await client.listLeases([`id==${id}`])) await left.delete({ sync: true });
        const lease = await client.createLease({ id });
        const bytes = randomBytesOf(`lease ${run}`, 200_000);
        const digest = `sha256:${sha256(bytes)}`;
        const ctx = lease.client.context();
        ledger.uncertain(`collected ${digest}`);
        facts.add(`collected ${digest}`);
        const writer = await lease.client.content.writer(ctx, { ref: id, expected: digest });
        await writer.truncate(0n);
        await writer.write(bytes);
        await writer.commit(ctx, { expected: digest });
        await lease.client.snapshotter("overlayfs").prepare(ctx, id, "");
        await lease.delete({ sync: true });
        ledger.acknowledged(`collected ${digest}`, () =>
          withClient(daemon, async (other) => {
            await mustBeMissing(digest, other.content.info(other.context(), digest));
            await mustBeMissing(id, other.snapshotter("overlayfs").stat(other.context(), id));
          }),
        );
      });
    },
    async cleanUp(ledger) {
      for (const fact of facts) ledger.uncertain(fact);
      facts.clear();
    },
  };
}
