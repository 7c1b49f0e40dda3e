/**
 * Copying files between this machine and containers, by Docker's rules.
 *
 * @module
 */
import { once } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import type { TarEntry, TarSink, TreeWriter } from "@ctrd/archive";
import { openTreeWriter, TarReader } from "@ctrd/archive";
import { uncompressed } from "@ctrd/images";
import { AT_FDCWD, close } from "@ctrd/sys";
import { findContainer } from "../containers/find.ts";
import { CommandFailure } from "../failure.ts";
import type { Session } from "../session.ts";
import { withContainerRoot } from "./container-root.ts";
import { nameOf, parsePlace, targetOf } from "./paths.ts";
import { TreeReader } from "./read-tree.ts";
import { TarOutput } from "./tar-output.ts";
import type { Found, Tree } from "./tree.ts";
import { FileType, find, kindAt, typeOf } from "./tree.ts";

/** Flags of `ctrd cp`. */
export interface CopyFlags {
  /** Keep owners. */
  archive?: boolean;
  /** Follow a symbolic link that is named. */
  followLink?: boolean;
}

/** This machine's own files, seen from the working directory. */
const local: Tree = { fd: AT_FDCWD, trusted: true };

const warn = (message: string): void => void process.stderr.write(`ctrd: ${message}\n`);

/** Runs `ctrd cp`. */
export async function copy(session: Session, from: string, to: string, flags: CopyFlags): Promise<void> {
  const [source, target] = [parsePlace(from), parsePlace(to)];
  if (source.kind === "container" && target.kind !== "container") {
    const container = await findContainer(session, source.container);
    await withContainerRoot(session, container, (tree) =>
      target.kind === "stream"
        ? copyToStream(session, tree, source.path, flags)
        : copyTree(session, { tree, path: source.path }, { tree: local, path: target.path }, flags),
    );
  } else if (target.kind === "container" && source.kind !== "container") {
    const container = await findContainer(session, target.container);
    await withContainerRoot(session, container, (tree) =>
      source.kind === "stream"
        ? copyFromStream(session, tree, target.path)
        : copyTree(session, { tree: local, path: source.path }, { tree, path: target.path }, flags),
    );
  } else {
    throw new CommandFailure("cp: one side must be a container, and the other must not", {
      remedy: "write ctrd cp CONTAINER:PATH PATH, or ctrd cp PATH CONTAINER:PATH",
    });
  }
}

interface End {
  readonly tree: Tree;
  readonly path: string;
}

async function copyTree(session: Session, from: End, to: End, flags: CopyFlags): Promise<void> {
  using found = findSource(from, flags);
  const source = { path: from.path, isDirectory: typeOf(found.status) === FileType.Directory };
  const { directory, name } = targetOf(source, to.path, kindAt(to.tree, to.path));
  await writeInto(to.tree, directory, async (writer) => {
    const sink = flags.archive === true ? writer : ownedBy(writer, ownerIn(to.tree));
    await drive(session, new TreeReader(sink, warn).read(found, bytesOf(name), name === ""));
  });
}

async function copyToStream(session: Session, tree: Tree, path: string, flags: CopyFlags): Promise<void> {
  if (process.stdout.isTTY) {
    throw new CommandFailure("an archive is nothing for a terminal", { remedy: "use a pipe, or copy to a path" });
  }
  using found = findSource({ tree, path }, flags);
  const output = new TarOutput();
  const flush = async (least: number): Promise<void> => {
    if (output.size < least) return;
    const isFull = output
      .take()
      .map((piece) => process.stdout.write(piece))
      .includes(false);
    if (isFull) await once(process.stdout, "drain", { signal: session.signal });
  };
  const name = /(?:^|\/)\.$/.test(path) ? "" : nameOf(path);
  const isDirectory = typeOf(found.status) === FileType.Directory;
  const steps = new TreeReader(output, warn).read(found, bytesOf(name), isDirectory && name === "");
  await drive(session, steps, () => flush(outputStep));
  output.finish();
  await flush(0);
}

async function copyFromStream(session: Session, tree: Tree, path: string): Promise<void> {
  if (process.stdin.isTTY) throw new CommandFailure("there is no archive to read", { remedy: "use a pipe" });
  if (kindAt(tree, path) !== "directory") throw new CommandFailure(`cp: there is no directory "${path}"`);
  await writeInto(tree, path, async (writer) => {
    const reader = new TarReader(writer);
    for await (const chunk of uncompressed(process.stdin)) {
      session.signal.throwIfAborted();
      reader.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    }
    reader.finish();
  });
}

type Source = Found & Disposable;

function findSource({ tree, path }: End, { followLink = false }: CopyFlags): Source {
  const found = find(tree, path, followLink);
  if (found === undefined) throw new CommandFailure(`cp: there is no "${path}"`);
  return { ...found, [Symbol.dispose]: () => close(found.fd) };
}

/** Runs `body` with a writer of what is beneath a directory of a tree; the directory is held open, whatever is swapped. */
async function writeInto(tree: Tree, path: string, body: (writer: TreeWriter) => Promise<void>): Promise<void> {
  const directory = find(tree, path, true);
  if (directory === undefined) {
    throw new CommandFailure(`cp: there is no directory "${path}"`, { remedy: "make it first" });
  }
  try {
    // Devices of a container are nothing for this machine.
    const root = `/proc/self/fd/${directory.fd}`;
    const writer = openTreeWriter({ root, owners: true, devices: !tree.trusted, warn });
    try {
      await body(writer);
      writer.finish();
    } finally {
      writer.close();
    }
  } finally {
    close(directory.fd);
  }
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Who gets copies without `--archive`: root in a container, here whoever makes them. */
function ownerIn(tree: Tree): Owner {
  if (!tree.trusted) return { uid: 0, gid: 0 };
  return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
}

function ownedBy(sink: TarSink, owner: Owner): TarSink {
  return {
    begin: (entry: TarEntry) => sink.begin({ ...entry, ...owner }),
    data: (bytes, position) => sink.data(bytes, position),
    end: () => sink.end(),
  };
}

/** Bytes that gather before they are written. */
const outputStep = 1 << 20;
/** Steps after which signals get a turn. */
const stepsPerTurn = 16;

/** Goes through the steps; after each of them `flush` may wait. */
async function drive(session: Session, steps: Generator<void>, flush?: () => Promise<void>): Promise<void> {
  try {
    for (let count = 1; steps.next().done !== true; count++) {
      await flush?.();
      if (count % stepsPerTurn === 0) await turn();
      session.signal.throwIfAborted();
    }
  } finally {
    steps.return(undefined);
  }
}

/** A name as archives have it. */
function bytesOf(name: string): string {
  return Buffer.from(name).toString("latin1");
}
