/**
 * The commands on the daemon and its stores.
 *
 * @module
 */
import type { Command } from "commander";
import { declare, globalsOf } from "../globals.ts";
import type { OutputFlags } from "../output/format.ts";
import { addOutputFlags } from "../output/format.ts";
import type { EventsFlags } from "../system/events.ts";
import { withSession } from "./images.ts";

/** Declares `version`, `info`, `events`, `namespace`, … */
export function declareSystemCommands(program: Command): void {
  declareAbout(program);
  declareNamespaces(program);
  declareContent(program);
  declareSnapshots(program);
  declareLeases(program);
}

function declareAbout(program: Command): void {
  const version = addOutputFlags(declare(program, "version", "print the versions of this program and of the daemon"));
  version.action(async (flags: OutputFlags) =>
    (await import("../system/version.ts")).printVersion(globalsOf(version), flags),
  );
  const info = addOutputFlags(declare(program, "info", "say what the daemon is and what it holds"));
  info.action(async (flags: OutputFlags) => (await import("../system/version.ts")).printInfo(globalsOf(info), flags));
  const events = addOutputFlags(declare(program, "events", "print events as they come"))
    .option("-f, --filter <filter...>", "containerd filters, as topic~=/tasks/")
    .option("--all-namespaces", "of every namespace");
  events.action((flags: EventsFlags) =>
    withSession(events, async (session) => (await import("../system/events.ts")).followEvents(session, flags)),
  );
  const system = program.command("system").description("look after the daemon");
  const usage = addOutputFlags(declare(system, "df", "say what the namespace holds, in bytes"));
  usage.action((flags: OutputFlags) =>
    withSession(usage, async (session) => (await import("../system/disk-usage.ts")).diskUsage(session, flags)),
  );
}

function declareNamespaces(program: Command): void {
  const group = program.command("namespace").alias("ns").description("look after namespaces");
  const list = addOutputFlags(declare(group, "ls", "list namespaces"), "print only names");
  list.action((flags: OutputFlags) =>
    withSession(list, async (session) => (await import("../system/namespaces.ts")).listNamespaces(session, flags)),
  );
  const create = declare(group, "create <name>", "make a namespace").option("-l, --label <key=value...>", "labels");
  create.action((name: string, flags: { label?: string[] }) =>
    withSession(create, async (session) =>
      (await import("../system/namespaces.ts")).createNamespace(session, name, flags.label ?? []),
    ),
  );
  const remove = declare(group, "rm <name>", "remove an empty namespace");
  remove.action((name: string) =>
    withSession(remove, async (session) => (await import("../system/namespaces.ts")).removeNamespace(session, name)),
  );
}

function declareContent(program: Command): void {
  const group = program.command("content").description("look into the content store");
  const list = addOutputFlags(declare(group, "ls [filter...]", "list blobs"), "print only digests");
  list.action((filters: string[], flags: OutputFlags) =>
    withSession(list, async (session) => (await import("../system/stores.ts")).listContent(session, filters, flags)),
  );
  const get = declare(group, "get <digest>", "print a blob");
  get.action((digest: string) =>
    withSession(get, async (session) => (await import("../system/stores.ts")).getContent(session, digest)),
  );
  const remove = declare(group, "rm <digest...>", "remove blobs, whoever needs them");
  remove.action((digests: string[]) =>
    withSession(remove, async (session) => (await import("../system/stores.ts")).removeContent(session, digests)),
  );
}

function declareSnapshots(program: Command): void {
  const group = program
    .command("snapshots")
    .alias("snapshot")
    .description("look into a snapshotter")
    .option("--snapshotter <name>", "which (CTRD_SNAPSHOTTER, CONTAINERD_SNAPSHOTTER, overlayfs)");
  const named = async (command: Command): Promise<string> =>
    (await import("../images/snapshotter.ts")).chosenSnapshotter(
      command.optsWithGlobals<{ snapshotter?: string }>().snapshotter,
    ) ?? "overlayfs";
  const list = addOutputFlags(declare(group, "ls", "list snapshots"), "print only keys");
  list.action((flags: OutputFlags) =>
    withSession(list, async (session) =>
      (await import("../system/stores.ts")).listSnapshots(session, await named(list), flags),
    ),
  );
  const remove = declare(group, "rm <key...>", "remove snapshots that nothing is built on");
  remove.action((keys: string[]) =>
    withSession(remove, async (session) =>
      (await import("../system/stores.ts")).removeSnapshots(session, await named(remove), keys),
    ),
  );
}

function declareLeases(program: Command): void {
  const group = program.command("leases").alias("lease").description("look after leases");
  const list = addOutputFlags(declare(group, "ls", "list leases"), "print only ids");
  list.action((flags: OutputFlags) =>
    withSession(list, async (session) => (await import("../system/stores.ts")).listLeases(session, flags)),
  );
  const create = declare(group, "create [id]", "make a lease").option("-l, --label <key=value...>", "labels");
  create.action((id: string | undefined, flags: { label?: string[] }) =>
    withSession(create, async (session) =>
      (await import("../system/stores.ts")).createLease(session, id, flags.label ?? []),
    ),
  );
  const remove = declare(group, "rm <id...>", "end leases").option("--sync", "wait until what they kept is collected");
  remove.action((ids: string[], flags: { sync?: boolean }) =>
    withSession(remove, async (session) =>
      (await import("../system/stores.ts")).removeLeases(session, ids, flags.sync ?? false),
    ),
  );
}
