import { execFileSync } from "node:child_process";
import { pluginUri } from "@ctrd/core/plugin";
import { parse } from "smol-toml";
import { describe, expect, it } from "vitest";
import { defaultPlugins } from "../app/plugin-list.ts";
import { isTable } from "./key-path.ts";
import type { Table } from "./key-path.ts";
import { parseDocument } from "./load.ts";
import { migrate } from "./migrate.ts";
import { migratedText } from "./migrated-text.ts";
import { checkConfig } from "./resolve.ts";

const cri = 'plugins."io.containerd.grpc.v1.cri"';

async function migrated(text: string): Promise<string> {
  const table = parse(text);
  const version = typeof table["version"] === "number" ? table["version"] : 0;
  return migratedText({ text, table, version });
}

describe("migrate", () => {
  it("splits the table of the CRI plugin as containerd 2 does", () => {
    const text = `
[${cri}]
sandbox_image = "pause:3.6"
stream_server_port = "0"
enable_selinux = true
max_concurrent_downloads = 5
stats_collect_period = 9
[${cri}.x509_key_pair_streaming]
tls_cert_file = "/c"
[${cri}.cni]
bin_dir = "/opt/cni/bin"
conf_dir = "/etc/cni/net.d"
[${cri}.containerd]
snapshotter = "native"
discard_unpacked_layers = true
default_runtime_name = "runc"
[${cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
sandbox_mode = "podsandbox"
snapshotter = "overlayfs"
[${cri}.registry]
config_path = "/etc/certs.d"
[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "kata"
`;
    const { table, dropped } = migrate(parse(text), 2);
    expect(table["plugins"]).toEqual({
      "io.containerd.grpc.v1.cri": { stream_server_port: "0", x509_key_pair_streaming: { tls_cert_file: "/c" } },
      "io.containerd.cri.v1.images": {
        max_concurrent_downloads: 5,
        stats_collect_period: 9,
        registry: { config_path: "/etc/certs.d" },
        snapshotter: "native",
        discard_unpacked_layers: true,
        pinned_images: { sandbox: "pause:3.6" },
      },
      "io.containerd.cri.v1.runtime": {
        enable_selinux: true,
        cni: { bin_dirs: ["/opt/cni/bin"], conf_dir: "/etc/cni/net.d" },
        containerd: {
          default_runtime_name: "kata",
          runtimes: {
            runc: { runtime_type: "io.containerd.runc.v2", sandboxer: "podsandbox", snapshotter: "overlayfs" },
          },
        },
      },
    });
    // The old value wins for images, the new one for the runtime.
    expect(dropped.map(({ path }) => path)).toEqual([
      ["plugins", "io.containerd.cri.v1.images", "snapshotter"],
      ["plugins", "io.containerd.grpc.v1.cri", "containerd", "default_runtime_name"],
    ]);
  });

  it.each([
    ["cgroups", "io.containerd.monitor.task.v1.cgroups"],
    ["scheduler", "io.containerd.gc.v1.scheduler"],
    ["bolt", "io.containerd.metadata.v1.bolt"],
    ["task", "io.containerd.runtime.v2.task"],
    ["opt", "io.containerd.internal.v1.opt"],
    ["restart", "io.containerd.monitor.container.v1.restart"],
    ["tracing", "io.containerd.internal.v1.tracing"],
    ["otlp", "io.containerd.tracing.processor.v1.otlp"],
    ["windows-lcow", "io.containerd.snapshotter.v1.windows-lcow"],
    ["diff-service", "io.containerd.service.v1.diff-service"],
    ["cri", "io.containerd.grpc.v1.cri"],
    ["other", "io.containerd.grpc.v1.other"],
  ])("knows the plugin that version 1 calls %s", (name, uri) => {
    const { table } = migrate({ disabled_plugins: [name], required_plugins: [name] }, 1);
    expect(table).toEqual({ disabled_plugins: [uri], required_plugins: [uri] });
    const own = migrate({ plugins: { [name]: { max_container_log_line_size: 1 } } }, 1).table["plugins"];
    expect(own).toEqual({
      [name === "cri" ? "io.containerd.cri.v1.runtime" : uri]: { max_container_log_line_size: 1 },
    });
  });

  it.each([
    ["grpc.address", "server.v1.grpc.address"],
    ["grpc.max_recv_message_size", "server.v1.grpc.max_recv_message_size"],
    ["grpc.tcp_address", "server.v1.grpc-tcp.address"],
    ["grpc.tcp_tls_ca", "server.v1.grpc-tcp.tls_ca"],
    ["grpc.tcp_tls_common_name", "server.v1.grpc-tcp.tls_common_name"],
    ["ttrpc.uid", "server.v1.ttrpc.uid"],
    ["debug.gid", "server.v1.debug.gid"],
    ["metrics.address", "server.v1.metrics.address"],
    ["metrics.grpc_histogram", "metrics.v1.grpc-prometheus.grpc_histogram"],
  ])("moves %s to %s", (from, to) => {
    const [section = "", key = ""] = from.split(".");
    const { table, origins, dropped } = migrate({ [section]: { [key]: "x" } }, 3);
    const dot = to.lastIndexOf(".");
    const path = ["plugins", `io.containerd.${to.slice(0, dot)}`, to.slice(dot + 1)];
    expect(table["plugins"]).toEqual({ [String(path[1])]: { [String(path[2])]: "x" } });
    expect([...origins]).toEqual([[JSON.stringify(path), [section, key]]]);
    expect(dropped).toEqual([]);
  });

  it("keeps the new key where both are set, and says so", () => {
    const text = '[grpc]\naddress = "/old"\n[plugins."io.containerd.server.v1.grpc"]\naddress = "/new"\n';
    const { table, dropped } = migrate(parse(text), 3);
    expect(table["plugins"]).toEqual({ "io.containerd.server.v1.grpc": { address: "/new" } });
    expect(dropped).toEqual([
      {
        path: ["grpc", "address"],
        reason: 'it is ignored, because plugins."io.containerd.server.v1.grpc".address is set too',
        isQuiet: false,
      },
    ]);
  });
});

describe("migratedText", () => {
  it.each<[string, string, string]>([
    ["nothing", "", "version = 4\n"],
    ["the spelling of values", "version = 3\noom_score = 0x1f # hex\n", "version = 4\noom_score = 0x1f # hex\n"],
    [
      "comments in lists",
      "version = 2\ndisabled_plugins = [\n  # why\n  'a.b', # c\n]\n",
      "version = 4\ndisabled_plugins = [\n  # why\n  'a.b', # c\n]\n",
    ],
    [
      "comments in lists that change",
      "disabled_plugins = [\n  # why\n  'restart', # c\n]\n",
      'version = 4\n# why\n# c\ndisabled_plugins = ["io.containerd.monitor.container.v1.restart"]\n',
    ],
    [
      "keys of inline tables that move",
      'version = 2\ngrpc = { address = "/x", gid = 0, uid = 5 }\ndebug = { level = "info", address = "/d" }\n',
      `version = 4

[plugins."io.containerd.server.v1.grpc"]
address = "/x"
# Not in the newest layout: it sets nothing
# grpc.gid = 0
uid = 5

[debug]
level = "info"

[plugins."io.containerd.server.v1.debug"]
address = "/d"
`,
    ],
    [
      "dotted keys",
      'version = 2\ngrpc.address = "/x"\nplugins."a.b".c.d = 1\n',
      'version = 4\n\n[plugins."io.containerd.server.v1.grpc"]\naddress = "/x"\n\n[plugins."a.b".c]\nd = 1\n',
    ],
    [
      "lists of tables",
      'version = 2\n[[plugins."a.b".list]] # one\nx = 1\n[plugins."a.b".list.sub]\ny = 1\n# two\n[[plugins."a.b".list]]\n',
      'version = 4\n\n[[plugins."a.b".list]] # one\nx = 1\n\n[plugins."a.b".list.sub]\ny = 1\n\n# two\n[[plugins."a.b".list]]\n',
    ],
    [
      "sched_core beside other variables",
      '[plugins.task]\nsched_core = true\n[plugins."io.containerd.shim.v1.manager"]\nenv = ["A=b"]\n',
      `version = 4

[plugins."io.containerd.runtime.v2.task"]

# Not in the newest layout: it is SCHED_CORE=1 in the env of io.containerd.shim.v1.manager now
# plugins.task.sched_core = true

[plugins."io.containerd.shim.v1.manager"]
env = ["A=b", "SCHED_CORE=1"]
`,
    ],
    ["empty tables", "version = 3\n[proxy_plugins]\n", "version = 4\n\n[proxy_plugins]\n"],
  ])("keeps %s", async (_what, text, expected) => {
    const result = await migrated(text);
    expect(result).toBe(expected);
    expect(await migrated(result)).toBe(result);
  });

  it("says so where comments could not be kept", async () => {
    // Read by one of the two parsers only.
    const text = 'version = 2\n# a comment\n[debug]\nlevel = "\\e"\n';
    const result = await migratedText({
      text,
      table: { version: 2, plugin_dir: "/p", debug: { level: "x" } },
      version: 2,
    });
    expect(result).toBe(`# The comments of the older file could not be kept.
# Not in the newest layout: plugins are npm packages, the dependencies of an app folder (ctrd --app DIR)
# plugin_dir = "/p"
version = 4

[debug]
level = "x"
`);
  });

  it("writes the same configuration for what containerd prints, with everything that it has", async () => {
    const text = execFileSync("containerd", ["config", "default"], { encoding: "utf8" });
    const before = parse(text);
    const result = await migrated(text);
    expect(parse(result)).toEqual({ ...migrate(before, 2).table, version: 4 });
    // Every key is there, in force or as a comment.
    for (const key of keysOf(before))
      expect(result).toMatch(new RegExp(`(^|[ .])"?${key.replaceAll(".", "[.]")}"? = `, "m"));
  });
});

/** Names of all keys with a value that is no table, but for one that became another. */
function keysOf(table: Table): string[] {
  return Object.entries(table)
    .flatMap(([key, value]) => (isTable(value) ? keysOf(value) : [key]))
    .filter((key) => !["bin_dir", "sandbox_image"].includes(key));
}

describe("containerd 2.x", () => {
  // The defaults of 2.3, as its documentation lists them.
  const text = `version = 4
[plugins."io.containerd.server.v1.grpc-tcp"]
address = ""
[plugins."io.containerd.gc.v1.scheduler"]
pause_threshold = 0.02
deletion_threshold = 0
mutation_threshold = 100
schedule_delay = "0s"
startup_delay = "100ms"
[plugins."io.containerd.metadata.v1.bolt"]
content_sharing_policy = "shared"
no_sync = false
[plugins."io.containerd.runtime.v2.task"]
platforms = ["linux/amd64"]
[plugins."io.containerd.shim.v1.manager"]
env = []
socket_dir = ""
[plugins."io.containerd.transfer.v1.local"]
max_concurrent_downloads = 3
concurrent_layer_fetch_buffer = 0
max_concurrent_uploaded_layers = 3
max_concurrent_unpacks = 1
check_platform_supported = false
config_path = ""
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = "linux/amd64"
snapshotter = "overlayfs"
[plugins."io.containerd.service.v1.diff-service"]
default = ["walking"]
sync_fs = false
[plugins."io.containerd.service.v1.tasks-service"]
blockio_config_file = ""
rdt_config_file = ""
[plugins."io.containerd.snapshotter.v1.overlayfs"]
root_path = ""
upperdir_label = false
sync_remove = false
slow_chown = false
mount_options = []
[plugins."io.containerd.image-verifier.v1.bindir"]
bin_dir = "/opt/containerd/image-verifier/bin"
[plugins."io.containerd.nri.v1.nri"]
disable = false
[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri"]
stream_server_port = "0"
[timeouts]
"io.containerd.timeout.cri.defercleanup" = "1m0s"
`;

  it.each([3, 4])("layout %i is accepted, and each key without effect is one warning", async (version) => {
    const plugins = await defaultPlugins();
    const { document, warnings } = await parseDocument("/c.toml", text.replace("version = 4", `version = ${version}`));
    const report = await checkConfig({ documents: [document], warnings }, plugins);
    expect(report.problems).toEqual([]);
    const has = new Set(plugins.map(({ registration }) => pluginUri(registration)));
    const absent = ["server.v1.grpc-tcp", "image-verifier.v1.bindir", "nri.v1.nri", "cri.v1.images"].filter(
      (uri) => !has.has(`io.containerd.${uri}`),
    );
    const named = report.warnings.map((line) => /^\/c\.toml:\d+:\d+: (\S+): /.exec(line)?.[1]);
    for (const uri of absent) expect(named).toContain(`plugins."io.containerd.${uri}"`);
    expect(named.filter((key) => key?.includes(".cri."))).toHaveLength(absent.includes("cri.v1.images") ? 2 : 1);
    expect(new Set(named).size).toBe(named.length);
  });
});
