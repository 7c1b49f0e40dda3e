/**
 * Removes from the backends what no metadata names. The first time everything that a backend has is looked at, to find
 * what an earlier run left behind; after that only what the metadata has let go of.
 */
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { withNamespace } from "@ctrd/core/context";
import { isKind, messageOf } from "@ctrd/core/errors";
import { failpoints } from "@ctrd/core/failpoints";
import type { Snapshotter } from "@ctrd/core/snapshots";
import { createYield, forEach } from "@ctrd/storage";
import type { Shared } from "../shared.ts";
import { blobPin, ingestPin, snapshotPin } from "../shared.ts";
import { namesBackend } from "../snapshots/snapshot-records.ts";

/** Removals of blobs and ingests at once. */
const concurrency = 16;
/** Removals of snapshots at once: those that wait together share one write of the snapshotter's records. */
const snapshotsAtOnce = 64;

/** Namespace of backend calls that concern no key. */
const anyNamespace = "default";

type Outcome = "removed" | "kept" | "retry";

export class BackendCleaner {
  readonly #shared: Shared;
  readonly #content: ContentStore;
  readonly #snapshotters: ReadonlyMap<string, Snapshotter>;
  /** Backends that were looked through in this run. */
  readonly #listed = new Set<string>();

  constructor(shared: Shared, content: ContentStore, snapshotters: ReadonlyMap<string, Snapshotter>) {
    this.#shared = shared;
    this.#content = content;
    this.#snapshotters = snapshotters;
  }

  /** Cleans all backends at once. A backend that fails is logged and tried again by the next collection. */
  async clean(ctx: CallContext): Promise<void> {
    const jobs = [this.#guarded("content", () => this.#cleanContent(ctx))];
    for (const name of this.#snapshotters.keys()) {
      jobs.push(this.#guarded(`snapshotter ${name}`, () => this.#cleanSnapshotter(ctx, name, false)));
    }
    await Promise.all(jobs);
  }

  /** Frees what was removed from the snapshotter `name`. @throws what the snapshotter's own clean-up throws */
  async cleanSnapshotter(ctx: CallContext, name: string): Promise<void> {
    await this.#cleanSnapshotter(ctx, name, true);
  }

  async #guarded(backend: string, job: () => Promise<void>): Promise<void> {
    try {
      await job();
    } catch (error) {
      this.#shared.log.error({ backend, error: messageOf(error) }, "clean up backend");
    }
  }

  async #cleanContent(ctx: CallContext): Promise<void> {
    const { garbage } = this.#shared;
    const listCtx = withNamespace(ctx, anyNamespace);
    if (!this.#listed.has("content")) {
      const yieldTurn = createYield();
      for await (const { digest } of this.#content.list(listCtx, [])) {
        garbage.addBlob(digest);
        await yieldTurn();
      }
      for (const { ref } of await this.#content.listStatuses(listCtx, [])) garbage.addIngest(ref);
      this.#listed.add("content");
    }
    await forEach(garbage.takeIngests(), concurrency, async (ref) => {
      const outcome = await this.#remove(ctx, ingestPin(ref), ref, () => this.#namesIngest(ref), {
        namespace: namespaceOf(ref),
        remove: (callCtx) => this.#content.abort(callCtx, ref),
      });
      if (outcome === "retry") garbage.addIngest(ref);
    });
    await forEach(garbage.takeBlobs(), concurrency, async (digest) => {
      const outcome = await this.#remove(ctx, blobPin(digest), digest, () => this.#namesBlob(digest), {
        namespace: anyNamespace,
        remove: (callCtx) => this.#content.delete(callCtx, digest),
      });
      if (outcome === "retry") garbage.addBlob(digest);
    });
  }

  /** @param always call the snapshotter's own clean-up although nothing was removed */
  async #cleanSnapshotter(ctx: CallContext, name: string, always: boolean): Promise<void> {
    const { garbage } = this.#shared;
    const snapshotter = this.#snapshotters.get(name);
    if (snapshotter === undefined) return;
    const listCtx = withNamespace(ctx, anyNamespace);
    const first = !this.#listed.has(`snapshotter\0${name}`);
    if (first) {
      const yieldTurn = createYield();
      for await (const info of snapshotter.walk(listCtx, [])) {
        garbage.addSnapshot(name, info.name);
        await yieldTurn();
      }
      this.#listed.add(`snapshotter\0${name}`);
    }
    const removed = await this.#removeSnapshots(ctx, name, snapshotter, garbage.takeSnapshots(name));
    if ((!always && !first && removed === 0) || snapshotter.cleanup === undefined) return;
    try {
      await snapshotter.cleanup(listCtx);
    } catch (error) {
      if (!isKind(error, "not-implemented")) throw error;
    }
  }

  /** Parents can go only after their children, which are the later ones; what is left over is tried again. */
  async #removeSnapshots(
    ctx: CallContext,
    name: string,
    snapshotter: Snapshotter,
    backendKeys: string[],
  ): Promise<number> {
    const { db } = this.#shared;
    let pending = await newestFirst(backendKeys);
    let removed = 0;
    for (let progress = true; progress && pending.length > 0;) {
      progress = false;
      const left: string[] = [];
      await forEach(pending, snapshotsAtOnce, async (key) => {
        const outcome = await this.#remove(ctx, snapshotPin(name, key), key, () => namesBackend(db, name, key), {
          namespace: namespaceOf(key),
          remove: (callCtx) => snapshotter.remove(callCtx, key),
        });
        if (outcome === "retry") left.push(key);
        if (outcome === "removed") {
          progress = true;
          removed++;
        }
      });
      pending = left;
    }
    for (const key of pending) this.#shared.garbage.addSnapshot(name, key);
    return removed;
  }

  /** Removes one object unless it is named, or about to be. */
  async #remove(
    ctx: CallContext,
    pin: string,
    what: string,
    isNamed: () => boolean,
    call: { namespace: string; remove: (ctx: CallContext) => Promise<void> },
  ): Promise<Outcome> {
    const { pins, log } = this.#shared;
    if (ctx.signal.aborted) return "retry";
    const done = pins.tryRemove(pin);
    if (done === undefined) return "retry";
    try {
      if (isNamed()) return "kept";
      FAILPOINT: if (failpoints.on) await failpoints.at("gc.remove");
      await call.remove(withNamespace(ctx, call.namespace));
      return "removed";
    } catch (error) {
      if (isKind(error, "not-found")) return "removed";
      // A snapshot with children of its own is the expected case, and says so at each pass.
      if (!isKind(error, "failed-precondition"))
        log.warn({ key: what, error: messageOf(error) }, "remove from backend");
      return "retry";
    } finally {
      done();
    }
  }

  #namesBlob(digest: string): boolean {
    const { db } = this.#shared;
    for (const [namespace = ""] of db.namespaces.keysUnder()) if (db.blobs.has(namespace, digest)) return true;
    return !db.sharedIngests.isEmpty(digest);
  }

  #namesIngest(backendRef: string): boolean {
    const [namespace = "", , ...rest] = backendRef.split("/");
    const ref = rest.join("/");
    if (namespace === "" || ref === "") return false;
    return this.#shared.db.ingests.get(namespace, ref)?.backendRef === backendRef;
  }
}

/** The namespace of a backend key `<namespace>/<sequence>/<key>`; keys of other makers have none. */
function namespaceOf(backendKey: string): string {
  const match = /^([^/]+)\/\d+\//.exec(backendKey);
  return match?.[1] ?? anyNamespace;
}

function sequenceOf(backendKey: string): number {
  const match = /^[^/]+\/(\d+)\//.exec(backendKey);
  return match === null ? 0 : Number(match[1]);
}

/** Sorted by sequence, downwards. Sorting 100,000 keys by comparing them would take a tenth of a second. */
async function newestFirst(backendKeys: readonly string[]): Promise<string[]> {
  const yieldTurn = createYield();
  const bySequence = new Map<number, string[]>();
  for (const key of backendKeys) {
    const sequence = sequenceOf(key);
    const others = bySequence.get(sequence);
    if (others === undefined) bySequence.set(sequence, [key]);
    else others.push(key);
    await yieldTurn();
  }
  const sorted: string[] = [];
  for (const sequence of Float64Array.from(bySequence.keys()).sort().reverse()) {
    for (const key of bySequence.get(sequence) ?? []) sorted.push(key);
    await yieldTurn();
  }
  return sorted;
}
