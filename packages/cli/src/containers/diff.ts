/**
 * What a container has written: `ctrd diff`.
 *
 * @module
 */
import { TarReader } from "@ctrd/archive";
import type { ContentStore } from "@ctrd/core/content";
import type { CallContext } from "@ctrd/core/context";
import { messageOf } from "@ctrd/core/errors";
import type { Descriptor } from "@ctrd/core/records";
import { withTemporaryLease } from "@ctrd/images";
import { close, hasErrno, openat2, OpenFlag, ResolveFlag } from "@ctrd/sys";
import { randomBytes } from "node:crypto";
import { withMounts } from "../copy/container-root.ts";
import { CommandFailure } from "../failure.ts";
import type { OutputFlags } from "../output/format.ts";
import { formatRows } from "../output/format.ts";
import type { Session } from "../session.ts";
import { findContainer } from "./find.ts";

interface Change {
  /** Added, changed, deleted. */
  readonly kind: "A" | "C" | "D";
  readonly path: string;
}

const layerTar = "application/vnd.oci.image.layer.v1.tar";
const pieceSize = 1 << 20;

/** Runs `ctrd diff`: a line for each path that was added (A), changed (C) or deleted (D). */
export async function diff(session: Session, name: string, flags: OutputFlags): Promise<void> {
  const { record } = await findContainer(session, name);
  const { snapshotter: snapshotterName, snapshotKey } = record;
  if (snapshotKey === "") throw new CommandFailure(`container "${name}" has no snapshot`);
  const changes = await withTemporaryLease(session.ctx, session.leases, async (ctx) => {
    const snapshotter = session.snapshotters.get(snapshotterName);
    const { parent } = await snapshotter.stat(ctx, snapshotKey);
    const upper = await snapshotter.mounts(ctx, snapshotKey);
    const view = `diff-${randomBytes(6).toString("hex")} ${snapshotKey}`;
    const lower = parent === "" ? [] : await snapshotter.view(ctx, view, parent);
    try {
      const differ = session.client.services.diffService;
      const layer = await differ.compare(ctx, lower, upper, { mediaType: layerTar });
      const written = await readChanges(ctx, session.content, layer);
      return lower.length === 0 ? written : await withMounts(lower, async (root) => compared(written, root));
    } finally {
      if (parent !== "") {
        await snapshotter.remove({ ...ctx, signal: AbortSignal.timeout(cleanupMs) }, view).catch((error: unknown) => {
          ctx.log.warn({ err: messageOf(error) }, `cannot remove the view "${view}", it goes with its lease`);
        });
      }
    }
  });
  const columns = [
    { name: "Kind", value: (row: Change) => row.kind },
    { name: "Path", value: (row: Change) => row.path },
  ];
  const text =
    flags.json === true || flags.format !== undefined
      ? formatRows(changes, columns, flags)
      : changes.map(({ kind, path }) => `${kind} ${path}\n`).join("");
  process.stdout.write(text);
}

/** How long the view may take to go. */
const cleanupMs = 10_000;
const whiteout = /(^|\/)\.wh\.([^/]+)$/;

/** The paths of a layer: deleted, or there. */
async function readChanges(ctx: CallContext, content: ContentStore, layer: Descriptor): Promise<Change[]> {
  const changes: Change[] = [];
  const tar = new TarReader({
    begin({ name }) {
      const path = Buffer.from(name, "latin1").toString().replace(/\/$/, "");
      if (whiteout.test(path)) changes.push({ kind: "D", path: `/${path.replace(whiteout, "$1$2")}` });
      else changes.push({ kind: "A", path: `/${path}` });
    },
    data() {},
    end() {},
  });
  const reader = await content.reader(ctx, layer.digest);
  try {
    for (let offset = 0n; offset < reader.size;) {
      const data = Buffer.from(await reader.read(offset, pieceSize));
      offset += BigInt(data.length);
      tar.push(data);
    }
    tar.finish();
  } finally {
    await reader.close();
  }
  return changes;
}

/** What was there before is not added, but changed. */
function compared(changes: readonly Change[], root: number): Change[] {
  return changes.map((change) => (change.kind === "A" && isIn(root, change.path) ? { ...change, kind: "C" } : change));
}

function isIn(root: number, path: string): boolean {
  const resolve = ResolveFlag.InRoot | ResolveFlag.NoSymlinks;
  try {
    close(openat2(root, path, OpenFlag.Path | OpenFlag.NoFollow, 0, resolve));
    return true;
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) return false;
    throw error;
  }
}
