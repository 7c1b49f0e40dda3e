import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "@ctrd/testkit/fixtures";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { loadApp } from "./app/load-app.ts";
import { documentOf, resolveConfig } from "./config/index.ts";
import type { DaemonConfig } from "./config/index.ts";
import type { Daemon } from "./daemon.ts";
import { createDaemon } from "./daemon.ts";
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
const configOf = (table: Record<string, unknown>): Promise<DaemonConfig> => {
  const paths = { root: join(directory, "root"), state: join(directory, "state"), imports: [] };
  return resolveConfig({ documents: [documentOf({ ...paths, ...table }, "test")], warnings: [] }, plugins);
};

async function start(table: Record<string, unknown>): Promise<Daemon> {
  lines = [];
  const config = await configOf(table);
  const { log, configure } = createLogger({ ...config.table.debug, write: (line) => void lines.push(line) });
  daemon = createDaemon({ plugins, config, log, setLog: configure });
  await daemon.start();
  return daemon;
}

describe("reload", () => {
  it("changes the log level, moves the metrics server and reports what needs a restart", async () => {
    const [first, second] = [await freePort(), await freePort()];
    const running = await start({ plugins: { [metrics]: { address: `127.0.0.1:${first}` } } });
    const status = async (port: number): Promise<number> =>
      (await fetch(`http://127.0.0.1:${port}/v1/metrics`).catch(() => ({ status: 0 }))).status;
    expect(await status(first)).toBe(200);
    const report = await running.reload(
      await configOf({
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
    const text = lines.join("");
    expect(text).toContain('"key":"debug.level","old":"info","new":"debug","msg":"configuration key changed"');
    expect(text).toContain('"key":"oom_score","msg":"configuration key needs a restart to change"');
  });

  it("keeps what it has when a plugin cannot take the new value", async () => {
    const [first, second] = [await freePort(), await freePort()];
    const running = await start({ plugins: { [metrics]: { address: `127.0.0.1:${first}` } } });
    const { createServer } = await import("node:http");
    const other = createServer().listen(second, "127.0.0.1");
    try {
      const config = await configOf({ plugins: { [metrics]: { address: `127.0.0.1:${second}` } } });
      const report = await running.reload(config);
      expect(report.applied).toEqual([]);
      expect(report.errors.join()).toContain("the address is in use");
      expect((await fetch(`http://127.0.0.1:${first}/v1/metrics`)).status).toBe(200);
    } finally {
      await new Promise((resolve) => other.close(resolve));
    }
  });

  it("is refused unless the daemon runs", async () => {
    const running = await start({});
    await running.stop();
    await expect(running.reload(running.config)).rejects.toThrow("starting or stopping");
  });
});
