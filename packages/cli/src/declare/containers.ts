/**
 * The commands on containers.
 *
 * @module
 */
import type { Command } from "commander";
import type { CreateFlags, RunFlags } from "../containers/flags.ts";
import { declare } from "../globals.ts";
import { withSession } from "./images.ts";

/** Declares `run`, `create`, … */
export function declareContainerCommands(program: Command): void {
  declareRun(program);
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
  return resourceOptions(securityOptions(processOptions(command.passThroughOptions())));
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
    .option("--net, --network <name>", "host, or none (the default); others need @ctrd/cni, not built yet")
    .option("-p, --publish <ports>", "needs @ctrd/cni, not built yet", collect)
    .option("--pid <namespace>", "host: see all processes")
    .option("--ipc <namespace>", "host: share memory with the host")
    .option("-l, --label <key=value>", "label of the container", collect)
    .option("--annotation <key=value>", "annotation of its OCI spec", collect)
    .option("--stop-signal <signal>", "what ctrd stop sends")
    .option("--stop-timeout <seconds>", "how long ctrd stop waits before it kills")
    .option("--restart <policy>", "needs the restart plugin, not built yet")
    .option("--init", "not there yet")
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

function resourceOptions(command: Command): Command {
  return command
    .option("-v, --volume <source:target[:ro]>", "show a directory of this machine", collect)
    .option("--mount <fields>", "type=bind,source=…,target=…[,readonly] or type=tmpfs,target=…", collect)
    .option("--tmpfs <path[:options]>", "empty directory in memory", collect)
    .option("--cpus <number>", "processors, as 1.5")
    .option("-c, --cpu-shares <number>", "weight among others")
    .option("--cpuset-cpus <list>", "processors that it may use, as 0-2")
    .option("-m, --memory <bytes>", "limit, as 64m")
    .option("--memory-swap <bytes>", "limit of memory and swap together; -1: none")
    .option("--pids-limit <number>", "processes at most")
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
