/**
 * The commands on containers.
 *
 * @module
 */
import type { Command } from "commander";
import type { CopyFlags } from "../copy/copy.ts";
import type { ExecFlags } from "../containers/exec.ts";
import type { CreateFlags, RunFlags } from "../containers/flags.ts";
import type { InspectFlags } from "../containers/inspect.ts";
import type { RemoveFlags, StartFlags, StopFlags } from "../containers/lifecycle.ts";
import type { ListFlags } from "../containers/list.ts";
import type { AttachFlags, LogsFlags } from "../containers/logs.ts";
import type { StatsFlags } from "../containers/stats.ts";
import type { UpdateFlags } from "../containers/update.ts";
import { declare } from "../globals.ts";
import type { CommitFlags } from "../images/commit.ts";
import type { OutputFlags } from "../output/format.ts";
import { addOutputFlags } from "../output/format.ts";
import { parseCount, withSession } from "./images.ts";
import { addNetworkOptions } from "./network.ts";

/** Declares `run`, `create`, … */
export function declareContainerCommands(program: Command): void {
  declareRun(program);
  declareLists(program);
  declareAttached(program);
  declareLives(program);
  declareFiles(program);
}

// oxlint-disable-next-line typescript/explicit-function-return-type
const lifecycle = () => import("../containers/lifecycle.ts");

function declareLists(program: Command): void {
  const list = addOutputFlags(declare(program, "ps", "list containers"), "print only ids")
    .option("-a, --all", "also those that do not run")
    .option("--no-trunc", "show ids and commands in full")
    .option("-f, --filter <filter...>", "name=, id=, status=, ancestor=, label=")
    .option("--last <count>", "the last ones that were made", parseCount)
    .option("-l, --latest", "the last one that was made");
  list.action((flags: ListFlags & { trunc?: boolean }) =>
    withSession(list, async (session) =>
      (await import("../containers/list.ts")).listContainers(session, { ...flags, noTrunc: flags.trunc === false }),
    ),
  );
  const inspect = declare(program, "inspect <name...>", "print all that is known of containers and images, as JSON")
    .option("--type <type>", "container, image")
    .option("--format <text>", "json, or fields such as '{{.Id}} {{.Image}}'");
  inspect.action((names: string[], flags: InspectFlags) =>
    withSession(inspect, async (session) => (await import("../containers/inspect.ts")).inspect(session, names, flags)),
  );
  const top = addOutputFlags(declare(program, "top <container>", "list the processes of a container"));
  top.action((name: string, flags: OutputFlags) =>
    withSession(top, async (session) => (await import("../containers/stats.ts")).top(session, name, flags)),
  );
  const stats = addOutputFlags(declare(program, "stats [container...]", "show what containers use")).option(
    "--no-stream",
    "look once",
  );
  stats.action((names: string[], flags: StatsFlags) =>
    withSession(stats, async (session) => (await import("../containers/stats.ts")).stats(session, names, flags)),
  );
}

function declareAttached(program: Command): void {
  const exec = declare(program, "exec <container> <command...>", "run a further process in a container")
    .passThroughOptions()
    .option("-i, --interactive", "give it our standard input")
    .option("-t, --tty", "give it a terminal")
    .option("-d, --detach", "in the background; its output is nobody's")
    .option("-e, --env <name[=value]>", "set a variable", collect)
    .option("--env-file <file>", "set variables from a file", collect)
    .option("-w, --workdir <path>", "working directory")
    .option("-u, --user <user[:group]>", "names or numbers")
    .option("--privileged", "with all capabilities")
    .option("--detach-keys <keys>", "keys that leave it running", "ctrl-p,ctrl-q");
  exec.action((name: string, args: string[], flags: ExecFlags) =>
    withSession(exec, async (session) => (await import("../containers/exec.ts")).exec(session, name, args, flags)),
  );
  const attach = declare(program, "attach <container>", "connect to a running container")
    .option("--no-stdin", "only to its output")
    .option("--detach-keys <keys>", "keys that leave it running", "ctrl-p,ctrl-q")
    .option("--no-sig-proxy", "keep signals from it");
  attach.action((name: string, flags: AttachFlags) =>
    withSession(attach, async (session) => (await import("../containers/logs.ts")).attach(session, name, flags)),
  );
  const logs = declare(program, "logs <container>", "print what a container has written")
    .option("-f, --follow", "go on as it writes")
    .option("-t, --timestamps", "with times")
    .option("-n, --tail <lines>", "only the last lines", "all")
    .option("--since <time>", "only from then on: RFC 3339, or 10m")
    .option("--until <time>", "only until then");
  logs.action((name: string, flags: LogsFlags) =>
    withSession(logs, async (session) => (await import("../containers/logs.ts")).logs(session, name, flags)),
  );
}

function declareLives(program: Command): void {
  const start = declare(program, "start <container...>", "start containers that were made or have ended")
    .option("-a, --attach", "in front")
    .option("--detach-keys <keys>", "keys that leave it running", "ctrl-p,ctrl-q");
  start.action((names: string[], flags: StartFlags) =>
    withSession(start, async (session) => (await lifecycle()).start(session, names, flags)),
  );
  const stop = declare(program, "stop <container...>", "ask containers to end, and after a while make them")
    .option("-t, --time <seconds>", "how long to wait (10)")
    .option("-s, --signal <signal>", "what to send (the image's, or SIGTERM)");
  stop.action((names: string[], flags: StopFlags) =>
    withSession(stop, async (session) => (await lifecycle()).stop(session, names, flags)),
  );
  const kill = declare(program, "kill <container...>", "send a signal to containers").option(
    "-s, --signal <signal>",
    "name or number",
    "SIGKILL",
  );
  kill.action((names: string[], flags: { signal: string }) =>
    withSession(kill, async (session) => (await lifecycle()).kill(session, names, flags.signal)),
  );
  const remove = declare(program, "rm <container...>", "remove containers")
    .option("-f, --force", "also those that run")
    .option("-v, --volumes", "and the volumes without a name that were made for them");
  remove.action((names: string[], flags: RemoveFlags) =>
    withSession(remove, async (session) => (await lifecycle()).remove(session, names, flags)),
  );
  for (const [name, description] of [
    ["pause", "hold all processes of containers"],
    ["unpause", "let them go on"],
    ["wait", "wait until containers have ended, and print their exit codes"],
  ] as const) {
    const command = declare(program, `${name} <container...>`, description);
    command.action((names: string[]) =>
      withSession(command, async (session) => (await lifecycle())[name](session, names)),
    );
  }
  const rename = declare(program, "rename <container> <name>", "give a container another name");
  rename.action((from: string, to: string) =>
    withSession(rename, async (session) => (await lifecycle()).rename(session, from, to)),
  );
  const update = limitOptions(declare(program, "update <container...>", "change limits and the restart policy")).option(
    "--restart <policy>",
    "no, always, unless-stopped, on-failure[:<most restarts>]",
  );
  update.action((names: string[], flags: UpdateFlags) =>
    withSession(update, async (session) => (await import("../containers/update.ts")).update(session, names, flags)),
  );
  const ended = declare(program, "container-ended <id>", "remove a container with --rm once it has ended", true);
  ended.action((id: string) => withSession(ended, async (session) => (await lifecycle()).containerEnded(session, id)));
}

function declareFiles(program: Command): void {
  const copy = declare(
    program,
    "cp <source> <target>",
    "copy files between CONTAINER:PATH and a path, or - for an archive",
  )
    .option("-a, --archive", "keep owners")
    .option("-L, --follow-link", "follow a symbolic link that is named as the source");
  copy.action((source: string, target: string, flags: CopyFlags) =>
    withSession(copy, async (session) => (await import("../copy/copy.ts")).copy(session, source, target, flags)),
  );
  const diff = addOutputFlags(
    declare(program, "diff <container>", "list what a container has added, changed, deleted"),
  );
  diff.action((name: string, flags: OutputFlags) =>
    withSession(diff, async (session) => (await import("../containers/diff.ts")).diff(session, name, flags)),
  );
  const commit = declare(program, "commit <container> <image>", "make an image of a container")
    .option("-a, --author <name>", "who made it")
    .option("-m, --message <text>", "what was done")
    .option("-c, --change <instruction>", "as 'CMD [\"sh\"]', 'ENV A=b': how it is run", collect)
    .option("--no-pause", "do not hold its processes meanwhile")
    .option("-q, --quiet", "print only the digest")
    .option("--json", "print JSON");
  commit.action((name: string, image: string, flags: CommitFlags) =>
    withSession(commit, async (session) => (await import("../images/commit.ts")).commit(session, name, image, flags)),
  );
}

function declareRun(program: Command): void {
  const run = createOptions(declare(program, "run <image> [command...]", "make a container and start it"))
    .option("-d, --detach", "in the background; prints the id")
    .option("--detach-keys <keys>", "keys that leave it running", "ctrl-p,ctrl-q")
    .option("--no-sig-proxy", "keep signals from it");
  run.action((image: string, args: string[], flags: RunFlags) =>
    withSession(run, async (session) => (await import("../containers/run.ts")).run(session, image, args, flags)),
  );
  const create = createOptions(declare(program, "create <image> [command...]", "make a container; start it later"));
  create.action((image: string, args: string[], flags: CreateFlags) =>
    withSession(create, async (session) => (await import("../containers/run.ts")).create(session, image, args, flags)),
  );
}

/** What follows the image is the container's. */
function createOptions(command: Command): Command {
  return resourceOptions(securityOptions(processOptions(addNetworkOptions(command.passThroughOptions()))));
}

const collect = (value: string, before: string[] = []): string[] => [...before, value];

function processOptions(command: Command): Command {
  return command
    .option("-i, --interactive", "give it our standard input")
    .option("-t, --tty", "give it a terminal")
    .option("--rm", "remove it when it has ended")
    .option("--name <name>", "name; one is made up otherwise")
    .option("-e, --env <name[=value]>", "set a variable, or pass ours on", collect)
    .option("--env-file <file>", "set variables from a file", collect)
    .option("-w, --workdir <path>", "working directory")
    .option("-u, --user <user[:group]>", "names or numbers")
    .option("--group-add <group>", "further groups", collect)
    .option("--entrypoint <program>", "in place of the image's")
    .option("-h, --hostname <name>", "host name")
    .option("--pid <namespace>", "host: see all processes")
    .option("--ipc <namespace>", "host: share memory with the host")
    .option("-l, --label <key=value>", "label of the container", collect)
    .option("--annotation <key=value>", "annotation of its OCI spec", collect)
    .option("--stop-signal <signal>", "what ctrd stop sends")
    .option("--stop-timeout <seconds>", "how long ctrd stop waits before it kills")
    .option("--restart <policy>", "no (the default), always, unless-stopped, on-failure[:<most restarts>]")
    .option("--init", "with a small first process of this machine (tini, catatonit)")
    .option("--log-opt <key=value>", "max-size (10m), max-file (3)", collect)
    .option("--cidfile <file>", "write the id to a file")
    .option("--pull <when>", "missing, always, never", "missing")
    .option("--platform <platform>", "as linux/arm64")
    .option("--snapshotter <name>", "where its file system is (CTRD_SNAPSHOTTER, CONTAINERD_SNAPSHOTTER)")
    .option("--runtime <name>", "as io.containerd.runc.v2, or the path of a shim")
    .option("--plain-http", "speak plain HTTP with the registry")
    .option("-k, --skip-verify", "take any certificate of the registry")
    .option("-q, --quiet", "do not show how a pull goes on");
}

function limitOptions(command: Command): Command {
  return command
    .option("--cpus <number>", "processors, as 1.5")
    .option("-c, --cpu-shares <number>", "weight among others")
    .option("--cpuset-cpus <list>", "processors that it may use, as 0-2")
    .option("-m, --memory <bytes>", "limit, as 64m")
    .option("--memory-swap <bytes>", "limit of memory and swap together; -1: none")
    .option("--pids-limit <number>", "processes at most");
}

function resourceOptions(command: Command): Command {
  return limitOptions(command)
    .option("-v, --volume <[source:]target[:ro]>", "show a directory of this machine, or a volume by its name", collect)
    .option("--mount <fields>", "type=bind|volume|tmpfs,source=…,target=…[,readonly]", collect)
    .option("--tmpfs <path[:options]>", "empty directory in memory", collect)
    .option("--shm-size <bytes>", "size of /dev/shm")
    .option("--ulimit <name=soft[:hard]>", "resource limit, as nofile=1024", collect)
    .option("--oom-score-adj <number>", "how readily the kernel kills it, -1000 to 1000");
}

function securityOptions(command: Command): Command {
  return command
    .option("--read-only", "it cannot write its root file system")
    .option("--cap-add <capability>", "as NET_ADMIN, or ALL", collect)
    .option("--cap-drop <capability>", "as CHOWN, or ALL", collect)
    .option("--privileged", "nearly no isolation")
    .option("--device <path[:path[:rwm]]>", "show a device", collect)
    .option("--security-opt <option>", "seccomp=unconfined|FILE, apparmor=PROFILE, no-new-privileges", collect)
    .option("--sysctl <name=value>", "kernel parameter of its namespaces", collect);
}
