import { Ajv2020 } from "ajv/dist/2020.js";
import { parse } from "smol-toml";
import { configSchema } from "@ctrd/core/config";
import type { AnyRegistration } from "@ctrd/core/plugin";
import { pluginType } from "@ctrd/core/plugin";
import { beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { loadApp } from "../app/load-app.ts";
import { defaultPlugins } from "../app/plugin-list.ts";
import { configJsonSchema } from "./json-schema.ts";
import { valueAt } from "./key-path.ts";
import type { Table } from "./key-path.ts";
import { printDefaultConfig } from "./print.ts";

type Validate = (data: unknown) => boolean;
let validate: Validate;
let defaults: string;

beforeAll(async () => {
  const { plugins } = await loadApp(undefined);
  const schema = configJsonSchema(plugins);
  const ajv = new Ajv2020({ strict: true, strictTypes: false, allowMatchingProperties: true, allErrors: true });
  validate = (data) => ajv.validate(schema, data);
  expect(ajv.validateSchema(schema)).toBe(true);
  defaults = await printDefaultConfig(plugins);
});

describe("configJsonSchema", () => {
  it("takes the default configuration", () => {
    expect(validate(parse(defaults))).toBe(true);
  });

  it.each([
    ['rooot = "/x"', false],
    ["root = 1", false],
    ["version = 9", false],
    ['[debug]\nlevel = "loud"', false],
    ['[plugins."io.containerd.gc.v1.scheduler"]\npause_treshold = 0.1', false],
    ['[plugins."io.containerd.gc.v1.scheduler"]\npause_threshold = "much"', false],
    ['[plugins."io.containerd.gc.v1.scheduler"]\npause_threshold = 0.1', true],
    ['[plugins."io.containerd.unknown.v1.x"]\nanything = [1, 2]', true],
    ['[proxy_plugins.x]\ntype = "snapshot"\naddress = "/run/x.sock"', true],
    ['[proxy_plugins.x]\ntype = "snapshot"\nadress = "/run/x.sock"', false],
    ['[proxy_plugins.x]\ntype = "snapshot"', false],
    ['[proxy_plugins.x]\ntype = "snap"\naddress = "/run/x.sock"', false],
    ['[proxy_plugins.x]\ntype = "diff"\naddress = "x.sock"', false],
    ['[proxy_plugins.x]\ntype = "io.containerd.content.v1"\naddress = "unix:///x.sock"\nexports = { a = "b" }', true],
    ['version = 2\n[grpc]\naddress = "/x"', false],
    ["[plugins.bare]\nx = 1", false],
    ['[timeouts]\n"io.containerd.timeout.shim.load" = "1m0.5s"', true],
    ['[timeouts]\n"io.containerd.timeout.shim.load" = "soon"', false],
    ['[plugins."io.containerd.shim.v1.manager"]\nenv = ["A=b"]', true],
    ['[plugins."io.containerd.shim.v1.manager"]\nenv = ["A"]', false],
    ['[plugins."io.containerd.event.v1.exchange"]\nx = 1', false],
    ['[plugins."io.containerd.service.v1.tasks-service"]\nrdt_config_file = "/x"', false],
  ])("%j is valid: %s", (text, valid) => {
    expect(validate(parse(text))).toBe(valid);
  });

  it("has patterns that editors in other languages take, and titles and descriptions", async () => {
    const schema = configJsonSchema(await defaultPlugins());
    expect(schema["$id"]).toMatch(/^urn:/);
    expect(JSON.stringify(schema)).not.toMatch(/"pattern":"[^"]*\\\\0/);
    const tables = valueAt(schema, ["properties", "plugins", "properties"]) as Record<string, Table>;
    for (const table of Object.values(tables)) {
      expect(table["title"]).toMatch(/^io\.(?:containerd|ctrd)\.\S+ \(@ctrd\/\S+@\S+\)$/);
      const keys = Object.entries((table["properties"] ?? {}) as Record<string, Table>);
      for (const [key, { description }] of keys) expect([key, description]).toEqual([key, expect.any(String)]);
    }
  });

  it("keeps references of a plugin's schema whole", () => {
    const node = z.object({
      name: z.string(),
      get children() {
        return z.array(node).default([]);
      },
    });
    const table = z.object({
      tree: node.optional(),
      both: z.intersection(z.object({ a: z.int() }), z.object({ b: z.int() })).optional(),
    });
    const config = configSchema(table, () => z.toJSONSchema(table, { io: "input" }));
    const registration: AnyRegistration = { type: pluginType("test.v1"), id: "a/b", config, initFn: () => 1 };
    const ajv = new Ajv2020({ strict: true, strictTypes: false, allowMatchingProperties: true });
    const valid = ajv.compile(configJsonSchema([{ registration }]));
    const check = (own: unknown): boolean => valid({ plugins: { "test.v1.a/b": own } });
    expect(check({ tree: { name: "x", children: [{ name: "y" }] }, both: { a: 1, b: 2 } })).toBe(true);
    expect(check({ tree: { name: "x", children: [{ nam: "y" }] } })).toBe(false);
    expect(check({ both: { a: 1, b: 2, c: 3 } })).toBe(false);
  });
});
