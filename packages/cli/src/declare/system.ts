/**
 * The commands on the daemon and its stores.
 *
 * @module
 */
import type { Command } from "commander";
import { declare, globalsOf } from "../globals.ts";
import type { DoctorFlags } from "../doctor/doctor.ts";
import type { DebugFileFlags, StacksFlags } from "../system/debug.ts";
import type { OutputFlags } from "../output/format.ts";
import { addOutputFlags } from "../output/format.ts";
import type { DiskUsageFlags } from "../system/disk-usage.ts";
import type { ExplainFlags } from "../system/explain.ts";
import type { GarbageFlags } from "../system/garbage.ts";
import type { EventsFlags } from "../system/events.ts";
import type { OperationsFlags } from "../system/operations.ts";
import type { PruneFlags } from "../system/prune.ts";
import type { TaskKillFlags } from "../system/tasks.ts";
import type { WhyFlags } from "../system/why.ts";
import { parseCount, withSession } from "./images.ts";

/** Declares `version`, `info`, `events`, `namespace`, … */
export function declareSystemCommands(program: Command): void {
  declareAbout(program);
  declareNamespaces(program);
  declareContent(program);
  declareSnapshots(program);
  declareLeases(program);
  declareGarbage(program);
  declareDoctor(program);
  declareDebug(program);
  declareTasks(program);
}

function declareTasks(program: Command): void {
  const group = program.command("tasks").alias("task").description("look at tasks as the daemon has them");
  const list = addOutputFlags(declare(group, "ls", "list tasks"), "print only ids");
  list.action((flags: OutputFlags) =>
    withSession(list, async (session) => (await import("../system/tasks.ts")).listTasks(session, flags)),
  );
  const inspect = declare(group, "inspect <task>", "print what its shim says");
  inspect.action((id: string) =>
    withSession(inspect, async (session) => (await import("../system/tasks.ts")).inspectTask(session, id)),
  );
  const kill = declare(group, "kill <task>", "send a signal")
    .option("-s, --signal <signal>", "name or number", "SIGTERM")
    .option("--exec <id>", "to a process that was added")
    .option("--all", "to all of its processes");
  kill.action((id: string, flags: TaskKillFlags) =>
    withSession(kill, async (session) => (await import("../system/tasks.ts")).killTask(session, id, flags)),
  );
  const remove = declare(group, "rm <task...>", "let go of tasks that have ended");
  remove.action((ids: string[]) =>
    withSession(remove, async (session) => (await import("../system/tasks.ts")).deleteTasks(session, ids)),
  );
  const processes = addOutputFlags(declare(group, "ps <task>", "list all processes of a task"), "print only pids");
  processes.action((id: string, flags: OutputFlags) =>
    withSession(processes, async (session) => (await import("../system/tasks.ts")).listProcesses(session, id, flags)),
  );
  const metrics = declare(group, "metrics <task>", "print what it uses");
  metrics.action((id: string) =>
    withSession(metrics, async (session) => (await import("../system/tasks.ts")).taskMetrics(session, id)),
  );
  const operations = addOutputFlags(
    declare(program, "operations", "list what the daemon is doing, for whom, and at which stage it is").alias("ops"),
    "print only ids",
  ).option("--all", "also what only waits for something to happen");
  operations.action((flags: OperationsFlags) =>
    withSession(operations, async (session) =>
      (await import("../system/operations.ts")).listOperations(session, flags),
    ),
  );
  const why = declare(
    program,
    "why <name>",
    "say what is done with a container, an image or an upload, and what became of a container",
  ).option("--json", "print JSON");
  why.action((name: string, flags: WhyFlags) =>
    withSession(why, async (session) => (await import("../system/why.ts")).why(session, name, flags)),
  );
}

function declareDoctor(program: Command): void {
  const doctor = declare(program, "doctor", "compare what the daemon knows with what is on its machine")
    .option("--repair", "mend what can be mended safely")
    .option("--deep", "read all blobs and check their digests")
    .option("--patience <seconds>", "how long something must be wrong to count (3)", parseCount)
    .option("--root <directory>", "the daemon's root, when it does not say")
    .option("--state <directory>", "the daemon's state, when it does not say")
    .option("--json", "print JSON, one finding a line");
  doctor.action((flags: DoctorFlags) =>
    withSession(doctor, async (session) => (await import("../doctor/doctor.ts")).doctor(session, flags)),
  );
}

function declareDebug(program: Command): void {
  const group = program.command("debug").description("look into the daemon itself; for its own user only");
  const output = ["-o, --output <file>", "where to; - is standard output (ctrd-<time>.<kind>)"] as const;
  const profile = declare(group, "profile", "take a CPU profile of the event loop, as .cpuprofile")
    .option("--seconds <number>", "for how long (10)", parseCount)
    .option(...output);
  const heap = declare(group, "heap", "take a heap snapshot; the daemon stands still meanwhile").option(...output);
  const dump = declare(group, "dump", "write all that the daemon knows of its state").option(...output);
  const kinds = [
    [profile, "profile"],
    [heap, "heap"],
    [dump, "dump"],
  ] as const;
  for (const [command, what] of kinds) {
    command.action((flags: DebugFileFlags) =>
      withSession(command, async (session) => (await import("../system/debug.ts")).debugToFile(session, what, flags)),
    );
  }
  const stacks = declare(group, "stacks", "print what the daemon is doing: calls, threads, stacks of the event loop")
    .option("--seconds <number>", "watch it for so long (1)", parseCount)
    .option("--json", "print JSON");
  stacks.action((flags: StacksFlags) =>
    withSession(stacks, async (session) => (await import("../system/debug.ts")).debugStacks(session, flags)),
  );
}

function declareGarbage(program: Command): void {
  const explain = declare(
    program,
    "explain <object>",
    "say what keeps a blob, snapshot, image, container, lease, ingest",
  )
    .option("--type <kind>", "which, when several have that name: content, snapshot, image, container, lease, ingest")
    .option("--json", "print JSON, with all chains");
  explain.action((text: string, flags: ExplainFlags) =>
    withSession(explain, async (session) => (await import("../system/explain.ts")).explain(session, text, flags)),
  );
  const gc = addOutputFlags(
    declare(program, "gc [run]", "remove what nothing keeps, in all namespaces"),
    "print only ids (with --dry-run)",
  ).option("--dry-run", "only say what would go, and why");
  gc.action((action: string | undefined, flags: GarbageFlags) =>
    withSession(gc, async (session) => (await import("../system/garbage.ts")).gc(session, action, flags)),
  );
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
    .option("--all-namespaces", "of every namespace")
    .option("--since <time>", "kept ones first, from a time or age on (RFC 3339, 10m)")
    .option("--until <time>", "end then");
  events.action((flags: EventsFlags) =>
    withSession(events, async (session) => (await import("../system/events.ts")).followEvents(session, flags)),
  );
  const system = program.command("system").description("look after the daemon");
  const usage = addOutputFlags(declare(system, "df", "say what takes space, by kind and by image")).option(
    "-v, --verbose",
    "also by container, volume, lease and upload",
  );
  usage.action((flags: DiskUsageFlags) =>
    withSession(usage, async (session) => (await import("../system/disk-usage.ts")).diskUsage(session, flags)),
  );
  const prune = declare(system, "prune", "remove containers that do not run, unused images, and what nothing keeps")
    .option("-a, --all", "also images with a tag that no container was made of")
    .option("--volumes", "also anonymous volumes that no container uses")
    .option("-f, --force", "without a question")
    .option("--filter <filter...>", "until=<age or time>, label=<key>[=<value>]");
  prune.action((flags: PruneFlags) =>
    withSession(prune, async (session) => (await import("../system/prune.ts")).prune(session, flags)),
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
  const label = declare(group, "label <digest> <key=value...>", "set labels of a blob; an empty value removes one");
  label.action((digest: string, labels: string[]) =>
    withSession(label, async (session) => (await import("../system/stores.ts")).labelContent(session, digest, labels)),
  );
  const ingests = addOutputFlags(declare(group, "ingests", "list uploads that are not complete"), "print only refs");
  ingests.action((flags: OutputFlags) =>
    withSession(ingests, async (session) => (await import("../system/stores.ts")).listIngests(session, flags)),
  );
  const abort = declare(group, "abort <ref...>", "give uploads up");
  abort.action((refs: string[]) =>
    withSession(abort, async (session) => (await import("../system/stores.ts")).abortIngests(session, refs)),
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
  const label = declare(group, "label <key> <key=value...>", "set labels of a snapshot; an empty value removes one");
  label.action((key: string, labels: string[]) =>
    withSession(label, async (session) =>
      (await import("../system/stores.ts")).labelSnapshot(session, await named(label), key, labels),
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
