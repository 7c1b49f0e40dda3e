/**
 * The commands on networks, and the flags of containers that are about them.
 *
 * @module
 */
import type { Command } from "commander";
import { declare } from "../globals.ts";
import type { CreateNetworkFlags } from "../network/commands.ts";
import type { OutputFlags } from "../output/format.ts";
import { addOutputFlags } from "../output/format.ts";

const collect = (value: string, before: string[] = []): string[] => [...before, value];
// oxlint-disable-next-line typescript/explicit-function-return-type
const commands = () => import("../network/commands.ts");

/** Declares `network ls`, `network create`, … */
export function declareNetworkCommands(program: Command): void {
  const group = program.command("network").description("look after networks of containers");
  addOutputFlags(declare(group, "ls", "list networks"), "print only names").action(async (flags: OutputFlags) =>
    (await commands()).listNetworks(flags),
  );
  declare(group, "create <name>", "make a network")
    .option("-d, --driver <driver>", "bridge, macvlan, ipvlan", "bridge")
    .option("--subnet <subnet>", "as 10.5.0.0/24; again for IPv6", collect)
    .option("--gateway <address>", "address of the bridge, or of the way out", collect)
    .option("--ip-range <subnet>", "part of the subnet that containers get addresses of", collect)
    .option("-o, --opt <key=value>", "of the driver: parent, mode, mtu, bridge", collect)
    .option("--label <key=value>", "label of the network", collect)
    .option("--internal", "without a way out")
    .action(async (name: string, flags: CreateNetworkFlags) => (await commands()).create(name, flags));
  declare(group, "rm <network...>", "remove networks that no container uses").action(async (names: string[]) =>
    (await commands()).remove(names),
  );
  declare(group, "inspect <network...>", "print all that is known of networks, as JSON").action(
    async (names: string[]) => (await commands()).inspect(names),
  );
  declare(group, "prune", "remove all networks that no container uses").action(async () => (await commands()).prune());
}

/** Adds the flags of `run` and `create`. */
export function addNetworkOptions(command: Command): Command {
  return command
    .option("--net, --network <name>", "a network, none, host, or container:NAME (CTRD_NETWORK, bridge)", collect)
    .option("-p, --publish <[[address:]port:]port[/protocol]>", "make a port reachable on this machine", collect)
    .option("--ip <address>", "IPv4 address on the first network")
    .option("--ip6 <address>", "IPv6 address on the first network")
    .option("--mac-address <address>", "hardware address on the first network")
    .option("--network-alias <name>", "further name for containers of its networks", collect)
    .option("--add-host <name:address>", "a name that it knows", collect)
    .option("--dns <address>", "name server in place of this machine's", collect)
    .option("--dns-search <domain>", "domain in which names are looked up", collect)
    .option("--dns-option <option>", "option of /etc/resolv.conf", collect);
}
