/**
 * The commands on volumes.
 *
 * @module
 */
import type { Command } from "commander";
import { declare } from "../globals.ts";
import { addOutputFlags } from "../output/format.ts";
import type { ListVolumesFlags, PruneVolumesFlags } from "../volumes/commands.ts";
import { withSession } from "./images.ts";

// oxlint-disable-next-line typescript/explicit-function-return-type
const commands = () => import("../volumes/commands.ts");

/** Declares `volume`. */
export function declareVolumeCommands(program: Command): void {
  const group = program.command("volume").description("look after volumes, which outlive containers");
  const list = addOutputFlags(declare(group, "ls", "list volumes"), "print only names")
    .alias("list")
    .option("-f, --filter <filter...>", "name=, dangling=true|false, label=");
  list.action((flags: ListVolumesFlags) =>
    withSession(list, async (session) => (await commands()).listVolumes(session, flags)),
  );
  const create = declare(group, "create [name]", "make a volume, unless it is there").option(
    "-l, --label <key=value...>",
    "labels",
  );
  create.action((name: string | undefined, flags: { label?: string[] }) =>
    withSession(create, async (session) => (await commands()).createVolume(session, name, flags.label ?? [])),
  );
  const inspect = declare(group, "inspect <volume...>", "print all that is known, as JSON");
  inspect.action((names: string[]) =>
    withSession(inspect, async (session) => (await commands()).inspectVolumes(session, names)),
  );
  const remove = declare(group, "rm <volume...>", "remove volumes with what they hold").option(
    "-f, --force",
    "those that are not there are no failure",
  );
  remove.action((names: string[], flags: { force?: boolean }) =>
    withSession(remove, async (session) => (await commands()).removeVolumes(session, names, flags.force ?? false)),
  );
  const prune = declare(group, "prune", "remove anonymous volumes that no container uses")
    .option("-a, --all", "also those with names")
    .option("-f, --force", "do not ask");
  prune.action((flags: PruneVolumesFlags) =>
    withSession(prune, async (session) => (await commands()).pruneVolumes(session, flags)),
  );
}
