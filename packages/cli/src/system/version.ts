import { CommandFailure } from "../failure.ts";
import type { Globals } from "../globals.ts";
import type { OutputFlags } from "../output/format.ts";
import { formatRows, toJson } from "../output/format.ts";
import { openSession } from "../session.ts";
import { ownVersion } from "../version.ts";

/** Runs `ctrd version`: ours, then the daemon's. */
export async function printVersion(globals: Globals, flags: OutputFlags): Promise<void> {
  const client = { version: ownVersion(), node: process.version };
  let failure: unknown;
  const server = await serverVersion(globals).catch((error: unknown) => {
    if (!(error instanceof CommandFailure)) throw error;
    failure = error;
    return undefined;
  });
  const columns = [
    { name: "Client", value: () => client, text: () => client.version },
    { name: "Server", value: () => server ?? null, text: () => server?.version ?? "" },
  ];
  if (flags.json === true || flags.format !== undefined) {
    process.stdout.write(formatRows([undefined], columns, flags));
  } else {
    const daemon =
      server === undefined ? "" : `Server ${server.address}\n  Version:  ${server.version} ${server.revision}\n`;
    process.stdout.write(
      `Client\n  Version:  ${client.version}\n  Node:     ${client.node}\n${daemon}`.replace(/ +\n/g, "\n"),
    );
  }
  if (failure !== undefined) throw failure;
}

async function serverVersion(globals: Globals): Promise<{ address: string; version: string; revision: string }> {
  await using session = await openSession(globals);
  return { address: globals.address, ...(await session.client.version({ signal: session.signal })) };
}

/** Runs `ctrd info`: what the daemon is and what it holds. */
export async function printInfo(globals: Globals, flags: OutputFlags): Promise<void> {
  await using session = await openSession(globals);
  const { ctx } = session;
  const [version, server, plugins, namespaces, images, containers, { tasks }] = await Promise.all([
    session.client.version({ signal: session.signal }),
    session.introspection.server(ctx),
    session.introspection.plugins(ctx, []),
    session.namespaces.list(ctx),
    session.images.list(ctx, []),
    session.containers.list(ctx, []),
    session.tasks.list(ctx, { filter: "" }),
  ]);
  const running = tasks.filter(({ status }) => status === runningStatus).length;
  const ready = plugins.filter(({ state }) => state === "ok");
  const facts = {
    Address: globals.address,
    Version: version.version,
    Revision: version.revision,
    UUID: server.uuid,
    PID: server.pid,
    Namespace: ctx.namespace,
    Namespaces: namespaces.map(({ name }) => name).sort(),
    Images: images.length,
    Containers: containers.length,
    Running: running,
    Snapshotters: ready.filter(({ type }) => type === "io.containerd.snapshotter.v1").map(({ id }) => id),
    Plugins: `${ready.length} of ${plugins.length} ready`,
  };
  if (flags.json === true || flags.format !== undefined) {
    const columns = Object.entries(facts).map(([name, value]) => ({ name, value: () => value }));
    process.stdout.write(formatRows([undefined], columns, flags));
    return;
  }
  const lines = Object.entries(facts).map(([name, value]) => `${`${name}:`.padEnd(14)}${plain(value)}`.trimEnd());
  process.stdout.write(`${lines.join("\n")}\n`);
}

const runningStatus = 2;

function plain(value: unknown): string {
  if (Array.isArray(value)) return value.join(", ");
  return typeof value === "string" ? value : toJson(value);
}
