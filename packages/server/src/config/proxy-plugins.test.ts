import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { defaultPlugins } from "../app/plugin-list.ts";
import { withProxyPlugins } from "../app/proxy-plugins.ts";
import type { DaemonConfig } from "./index.ts";
import { loadDocuments, resolveConfig } from "./index.ts";

let directory: string;
let path: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-proxies-"));
  path = join(directory, "config.toml");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function resolve(text: string): Promise<DaemonConfig> {
  await writeFile(path, `version = 3\nroot = "${directory}/root"\nstate = "${directory}/state"\nimports = []\n${text}`);
  return resolveConfig(await loadDocuments(path), await defaultPlugins());
}

const known =
  "snapshot, content, diff, sandbox, io.containerd.snapshotter.v1, io.containerd.content.v1, " +
  "io.containerd.differ.v1, io.containerd.sandbox.controller.v1";
const table = (id: string, type: string, address = "/run/x.sock"): string =>
  `[proxy_plugins.${id}]\n  type = "${type}"\n  address = "${address}"\n`;

it.each([
  [table("x", "snapshots"), `6:3: proxy_plugins.x.type: unknown type "snapshots", known are: ${known}`],
  ["[proxy_plugins.x]\n", `5:16: proxy_plugins.x.type: type must be set, known are: ${known}`],
  [
    table("x", "diff", "run/x.sock"),
    `7:3: proxy_plugins.x.address: address "run/x.sock" must be the absolute path of a unix socket, with or without unix://`,
  ],
  [
    table("x", "content"),
    `5:16: proxy_plugins.x: a daemon has one content store, and has io.containerd.content.v1.content ` +
      `(@ctrd/content-local@0.1.0) already; add "io.containerd.content.v1.content" to disabled_plugins`,
  ],
  [
    table("native", "snapshot"),
    "5:16: proxy_plugins.native: @ctrd/snapshot-native@0.1.0 has a plugin io.containerd.snapshotter.v1.native already; " +
      "choose another id",
  ],
])("refuses %j", async (text, message) => {
  await expect(resolve(text)).rejects.toThrow(`${path}:${message}: invalid argument`);
});

it("takes every type, and knows the plugins where the configuration names them", async () => {
  const uri = "io.containerd.snapshotter.v1.x";
  const lists = `required_plugins = ["${uri}"]\ndisabled_plugins = ["io.containerd.content.v1.content"]\n`;
  const tables = table("x", "snapshot") + table("y", "content", "unix:///run/y.sock") + table("z", "sandbox");
  const config = await resolve(lists + tables);
  expect(config.warnings).toEqual([]);
  const plugins = await withProxyPlugins([], config.table.proxy_plugins);
  expect(plugins.map(({ registration, source }) => [registration.id, source?.name])).toEqual([
    ["x", "@ctrd/proxy"],
    ["y", "@ctrd/proxy"],
    ["z", "@ctrd/proxy"],
  ]);
});

it("takes the later one of two tables of an id", async () => {
  const other = join(directory, "other.toml");
  await writeFile(other, table("x", "diff", "/run/other.sock"));
  await writeFile(path, `imports = ["${other}"]\n${table("x", "snapshot")}`);
  const config = await resolveConfig(await loadDocuments(path), await defaultPlugins());
  expect(config.table.proxy_plugins["x"]?.address).toBe("/run/other.sock");
});
