import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "@ctrd/testkit/fixtures";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { loadApp } from "./app/load-app.ts";
import { documentOf, resolveConfig } from "./config/index.ts";
import type { Daemon } from "./daemon.ts";
import { composeDaemon, createDaemon } from "./daemon.ts";
import { createLogger } from "./log.ts";

const metrics = "io.containerd.server.v1.metrics";
const gc = "io.containerd.gc.v1.scheduler";
let directory: string;
let daemon: Daemon | undefined;
let lines: string[];
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "ctrd-reload-"));
});
afterEach(async () => {
  await daemon?.stop();
  daemon = undefined;
});
afterAll(() => rm(directory, { recursive: true }));

const { plugins } = await loadApp(undefined);
/** A whole configuration: what is the same for all, and `table`. */
const configOf = (table: Record<string, unknown>): Record<string, unknown> => ({
  ...{ root: join(directory, "root"), state: join(directory, "state"), imports: [] },
  ...table,
});

async function start(table: Record<string, unknown>): Promise<Daemon> {
  lines = [];
  const config = await resolveConfig({ documents: [documentOf(configOf(table), "test")], warnings: [] }, plugins);
  const { log, configure } = createLogger({ ...config.table.debug, write: (line) => void lines.push(line) });
  daemon = createDaemon({ plugins, config, log, setLog: configure });
  await daemon.start();
  return daemon;
}

/** What was logged of keys. */
function keyLines(): Record<string, unknown>[] {
  const all = lines.map((line) => ({ ...(JSON.parse(line) as Record<string, unknown>), time: "" }));
  return all.filter((line) => "msg" in line && String(line.msg).startsWith("configuration key"));
}

describe("reload", () => {
  it("changes the log level, moves the metrics server and reports what needs a restart", async () => {
    const [first, second] = [await freePort(), await freePort()];
    const running = await start({ plugins: { [metrics]: { address: `127.0.0.1:${first}` } } });
    const status = async (port: number): Promise<number> =>
      (await fetch(`http://127.0.0.1:${port}/v1/metrics`).catch(() => ({ status: 0 }))).status;
    expect(await status(first)).toBe(200);
    const report = await running.reload(
      configOf({
        debug: { level: "debug" },
        oom_score: 5,
        plugins: {
          [metrics]: { address: `127.0.0.1:${second}` },
          [gc]: { deletion_threshold: 7, startup_delay: "1s" },
        },
      }),
    );
    expect(report.applied.toSorted()).toEqual([
      "debug.level",
      `plugins."${gc}".deletion_threshold`,
      `plugins."${metrics}".address`,
    ]);
    expect(report.needRestart.toSorted()).toEqual(["oom_score", `plugins."${gc}".startup_delay`]);
    expect(report.errors).toEqual([]);
    expect(await status(second)).toBe(200);
    expect(await status(first)).toBe(0);
    const shown = running.plugins.find(({ type, id }) => `${type}.${id}` === metrics);
    expect(shown?.config).toEqual({ address: `127.0.0.1:${second}` });
    const changed = { level: "info", time: "", msg: "configuration key changed" };
    const postponed = { level: "warn", time: "", msg: "configuration key needs a restart to change" };
    expect(keyLines()).toEqual([
      { ...changed, key: "debug.level", old: "info", new: "debug" },
      { ...postponed, key: "oom_score", old: 0, new: 5 },
      { ...changed, key: `plugins."${gc}".deletion_threshold`, old: 0, new: 7 },
      { ...postponed, key: `plugins."${gc}".startup_delay`, old: "100ms", new: "1s" },
      {
        ...changed,
        key: `plugins."${metrics}".address`,
        old: `127.0.0.1:${first}`,
        new: `127.0.0.1:${second}`,
      },
    ]);
    // Back to what is in force: nothing waits for a restart any more.
    lines = [];
    const plain = { plugins: { [metrics]: { address: `127.0.0.1:${second}` }, [gc]: { deletion_threshold: 7 } } };
    const again = await running.reload(configOf({ debug: { level: "debug" }, ...plain }));
    expect(again).toMatchObject({ applied: [], needRestart: [], errors: [] });
    expect(keyLines()).toEqual([]);
    expect((await running.reload(configOf(plain))).applied).toEqual(["debug.level"]);
  });

  it("keeps what it has when a plugin cannot take the new value", async () => {
    const [first, second] = [await freePort(), await freePort()];
    const running = await start({ plugins: { [metrics]: { address: `127.0.0.1:${first}` } } });
    const { createServer } = await import("node:http");
    const other = createServer().listen(second, "127.0.0.1");
    try {
      const config = configOf({ plugins: { [metrics]: { address: `127.0.0.1:${second}` } } });
      const report = await running.reload(config);
      expect(report.applied).toEqual([]);
      expect(report.errors.join()).toContain("the address is in use");
      expect((await fetch(`http://127.0.0.1:${first}/v1/metrics`)).status).toBe(200);
    } finally {
      await new Promise((resolve) => other.close(resolve));
    }
  });

  it("changes nothing for a mistake", async () => {
    const running = await start({});
    const wrong = configOf({ debug: { level: "debug" }, plugins: { [gc]: { deletion_treshold: 7 } } });
    await expect(running.reload(wrong)).rejects.toThrow(
      `configuration: plugins."${gc}".deletion_treshold: unknown key "deletion_treshold", did you mean "deletion_threshold"?`,
    );
    expect(running.config.table.debug.level).toBe("info");
    expect(keyLines()).toEqual([]);
  });

  it("tells that the table of a plugin that does not run waits for a restart, and keeps secrets out of the log", async () => {
    const off = "io.containerd.snapshotter.v1.native";
    const running = await start({ disabled_plugins: [off] });
    const report = await running.reload(
      configOf({
        disabled_plugins: [off],
        timeouts: { "io.containerd.timeout.shim.load": "7s" },
        proxy_plugins: { far: { type: "snapshot", address: "/run/far.sock", exports: { token: "abc" } } },
        plugins: { [off]: { root_path: "/srv/native" } },
      }),
    );
    expect(report.needRestart).toEqual([
      'timeouts."io.containerd.timeout.shim.load"',
      "proxy_plugins.far",
      `plugins."${off}".root_path`,
    ]);
    expect(lines.join("")).not.toContain("abc");
  });

  it("waits for a start that is under way, and is refused before it and after the stop", async () => {
    const fresh = await composeDaemon({ plugins, config: configOf({}) });
    await expect(fresh.reload(configOf({}))).rejects.toThrow("the daemon does not run");
    const starting = fresh.start();
    const report = await fresh.reload(configOf({ plugins: { [gc]: { deletion_threshold: 1 } } }));
    await starting;
    expect(report.applied).toEqual([`plugins."${gc}".deletion_threshold`]);
    const [stopped, late] = [fresh.stop(), fresh.reload(configOf({}))];
    await expect(late).rejects.toThrow("the daemon does not run");
    await stopped;
  });

  it("changes what a plugin can change, and shows it", async () => {
    const overlay = "io.containerd.snapshotter.v1.overlayfs";
    const running = await start({});
    const next = {
      "io.containerd.metrics.v1.grpc-prometheus": { grpc_histogram: true },
      "io.containerd.shim.v1.manager": { env: ["A=b"] },
      [gc]: { schedule_delay: "1s" },
      [overlay]: { sync_remove: true },
    };
    const { applied, needRestart } = await running.reload(configOf({ plugins: next }));
    expect({ applied: applied.toSorted(), needRestart }).toEqual({
      applied: Object.entries(next)
        .map(([uri, table]) => `plugins."${uri}".${Object.keys(table)[0]}`)
        .toSorted(),
      needRestart: [],
    });
    for (const [uri, table] of Object.entries(next)) {
      const status = running.plugins.find(({ type, id }) => `${type}.${id}` === uri);
      expect(status?.config).toMatchObject(table);
    }
  });
});
